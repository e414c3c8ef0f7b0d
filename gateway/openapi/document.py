"""The OpenAPI document of a gateway, made from its operations and their structs."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from flashsale import __version__
from flashsale.messages.json_schemas import component_schemas, portable
from flashsale.runtime.settings import Settings
from gateway.http.problems import ProblemKind
from gateway.openapi.access import GUARDS, SCHEMES, is_shown, schemes_of
from gateway.openapi.operation import Answer, Body, Operation, Operations, Parameter
from gateway.openapi.parameters import IN_PATHS
from gateway.openapi.problem_details import ProblemDetails
from gateway.openapi.problem_responses import (
    OF_ANY_REQUEST,
    OF_NO_OPERATION,
    problem_components,
    problem_responses,
    problem_schemas,
)

_PART = re.compile(r"\{(\w+)\}")

_DESCRIPTION = """\
Takes orders for flash sales, and tells every shopper what becomes of them.

Every error is a problem document (RFC 9457) whose `type` is stable. `HEAD` is answered wherever
`GET` is, and `OPTIONS` with the methods of an address."""

_TAGS = {
    "orders": "Take an order, and tell what becomes of it.",
    "payments": "What payment providers tell.",
    "sales": "What is sold, and how far.",
    "admin": "For operators, with a token.",
    "ops": "The operator's page and its files, with a token.",
    "health": "For load balancers and orchestrators.",
    "pages": "Pages, their files, and this document.",
}
_TAG_OF = {"healthz": "health", "readyz": "health"}


def openapi_document(operations: Operations, settings: Settings, prefix: str = "") -> Any:
    """Return the document of the operations that these settings have.

    `prefix` is the path at which clients find the gateway.
    """
    shown = {
        address: operation
        for address, operation in operations.items()
        if is_shown(operation.access, settings)
    }
    schemas, components = component_schemas(_types(shown.values(), settings))
    kinds = _kinds(shown)
    paths: dict[str, dict[str, Any]] = {}
    for address, operation in shown.items():
        method, path = address.split(" ")
        item = paths.setdefault(path, _path_item(path))
        item[method.lower()] = _operation(path, operation, schemas, settings)
    used = {_tag(path) for path in paths}
    schemes = {s for one in shown.values() for s in schemes_of(one.access, settings)}
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Flash sale gateway",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": prefix or "/"}],
        "tags": [
            {"name": name, "description": text} for name, text in _TAGS.items() if name in used
        ],
        "paths": paths,
        "components": {
            "schemas": components | problem_schemas(kinds),
            "responses": problem_components(kinds),
            **({"securitySchemes": _only(schemes, SCHEMES)} if schemes else {}),
        },
    }


def problems_of(operation: Operation) -> tuple[ProblemKind, ...]:
    """Return every kind of problem that an operation may answer with."""
    return (*OF_ANY_REQUEST, *GUARDS[operation.access].problems, *operation.problems)


def _kinds(operations: Operations) -> list[ProblemKind]:
    kinds: dict[ProblemKind, None] = dict.fromkeys(OF_NO_OPERATION)
    for operation in operations.values():
        kinds |= dict.fromkeys(problems_of(operation))
    return list(kinds)


def _types(operations: Iterable[Operation], settings: Settings) -> Iterator[type]:
    yield ProblemDetails
    for operation in operations:
        if operation.body is not None:
            yield _struct(operation.body, settings)
        for answer in operation.answers.values():
            yield from answer.structs
            yield from answer.events.values()


def _struct(body: Body, settings: Settings) -> type:
    with_token = body.struct_with_token if settings.auth == "jwt" else None
    return with_token or body.struct


def _only(names: Collection[str], described: Mapping[str, Any]) -> dict[str, Any]:
    return {name: text for name, text in described.items() if name in names}


def _path_item(path: str) -> dict[str, Any]:
    names = _PART.findall(path)
    if not names:
        return {}
    return {
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": IN_PATHS[name][0],
                "schema": portable(IN_PATHS[name][1]),
            }
            for name in names
        ]
    }


def _operation(
    path: str,
    operation: Operation,
    schemas: Mapping[type, Mapping[str, Any]],
    settings: Settings,
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [_tag(path)],
    }
    if operation.parameters:
        described["parameters"] = [_parameter(parameter) for parameter in operation.parameters]
    if (body := operation.body) is not None:
        content = {"schema": schemas[_struct(body, settings)]}
        described["requestBody"] = {
            "required": body.required,
            "content": {content_type: content for content_type in body.content_types},
        }
    answers = {
        str(status): _answer(answer, schemas) for status, answer in operation.answers.items()
    }
    described["responses"] = answers | problem_responses(problems_of(operation))
    if schemes := schemes_of(operation.access, settings):
        described["security"] = [{scheme: []} for scheme in schemes]
    return described


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "required": parameter.required,
        "schema": portable(parameter.schema),
    }


def _answer(answer: Answer, schemas: Mapping[type, Mapping[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.description}
    if answer.headers:
        described["headers"] = {
            name: {"description": text, "schema": {"type": "string"}, "required": True}
            for name, text in answer.headers.items()
        }
    if answer.content_type is not None:
        described["content"] = {answer.content_type: _content(answer, schemas)}
    if answer.links:
        described["links"] = {
            name: {"operationId": operation_id, "parameters": dict(parameters)}
            for name, (operation_id, parameters) in answer.links.items()
        }
    return described


def _content(answer: Answer, schemas: Mapping[type, Mapping[str, Any]]) -> dict[str, Any]:
    if answer.structs:
        found = [schemas[struct] for struct in answer.structs]
        return {"schema": found[0] if len(found) == 1 else {"anyOf": found}}
    if answer.events:
        events = [_event(name, schemas[struct]) for name, struct in answer.events.items()]
        return {"schema": events[0] if len(events) == 1 else {"oneOf": events}}
    return {}


def _event(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an event of a stream: OpenAPI 3.2 describes each one so, too."""
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
    return {
        "type": "object",
        "properties": {"event": {"const": name}, "data": data, "id": {"type": "string"}},
        "required": ["event", "data"],
    }


def _tag(path: str) -> str:
    first = path.split("/")[1]
    return first if first in _TAGS else _TAG_OF.get(first, "pages")
