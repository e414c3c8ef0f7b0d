"""JSON Schemas of msgspec structs, as OpenAPI 3.1 and AsyncAPI 3 have them."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

_TEMPLATE = "#/components/schemas/{name}"


def reference(name: str) -> dict[str, str]:
    """Return a reference to the schema of that name."""
    return {"$ref": _TEMPLATE.format(name=name)}


def component_schemas(
    types: Iterable[type],
) -> tuple[Mapping[type, Mapping[str, Any]], dict[str, Any]]:
    """Return the schema of each type, and the components to which these refer, by name."""
    listed = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(listed, ref_template=_TEMPLATE)
    readable = {name: portable(schema) for name, schema in sorted(components.items())}
    return dict(zip(listed, map(portable, schemas), strict=True)), readable


def portable(schema: Any) -> Any:
    r"""Return a schema whose patterns any reader of JSON Schema understands.

    Its regular expressions are those of ECMA 262, in which the end of the text is `$`, not `\Z`,
    and name no surrogates, as no text in UTF-8 has one. Descriptions lose the indentation that
    docstrings have.
    """
    if isinstance(schema, dict):
        return {name: _portable_member(name, value) for name, value in schema.items()}
    return [portable(item) for item in schema] if isinstance(schema, list | tuple) else schema


def _portable_member(name: str, value: Any) -> Any:
    if isinstance(value, str):
        if name == "pattern":
            return value.replace(r"\Z", "$").replace(r"\ud800-\udfff", "")
        if name == "description":
            return inspect.cleandoc(value)
    return portable(value)
