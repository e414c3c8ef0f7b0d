"""Read classes of settings from the environment, with one clear line for each wrong value."""

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from flashsale.runtime.entry_points import installed
from flashsale.runtime.environment import FromEnvironment
from flashsale.runtime.errors import SettingsError

GROUP = "flashsale.settings"
"""The group of entry points that name the `ServiceSettings` of installed services."""

Loaded = TypeVar("Loaded", bound=BaseSettings)


class ServiceSettings(FromEnvironment):
    """The base class of a service's own settings. They are variables `FLASHSALE_...`, too."""


def load(declared: type[Loaded], **overrides: Any) -> Loaded:
    """Read the settings of one class. Raises `SettingsError`."""
    try:
        return declared(**{k: v for k, v in overrides.items() if v is not None})
    except ValidationError as error:
        raise SettingsError("; ".join(_messages(declared, error))) from error


def installed_settings() -> list[type[BaseSettings]]:
    """Return the settings classes of the installed services. Raises `SettingsError`."""
    found: list[type[BaseSettings]] = []
    for name, declared in installed(GROUP).items():
        if not (isinstance(declared, type) and issubclass(declared, BaseSettings)):
            raise SettingsError(f"{GROUP} {name}: {declared!r} is no class of settings")
        found.append(declared)
    return found


def variables(declared: type[BaseSettings]) -> dict[str, FieldInfo]:
    """Return the fields of a settings class by their environment variables, its own ones first."""
    prefix = _prefix(declared)
    names = sorted(declared.model_fields, key=lambda name: name not in declared.__annotations__)
    return {prefix + name.upper(): declared.model_fields[name] for name in names}


def _prefix(declared: type[BaseSettings]) -> str:
    return declared.model_config.get("env_prefix", "")


def _messages(declared: type[BaseSettings], error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        message = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:
            yield message
            continue
        name = _prefix(declared) + str(problem["loc"][0]).upper()
        # Show no secret, and no URL, which may have a password in it.
        shown = (
            "..."
            if "SECRET" in name or "TOKEN" in name or "@" in str(problem["input"])
            else _one_line(str(problem["input"]))
        )
        quoted = str(problem["input"])[:1] in ("'", '"')
        hint = " (the quotes are part of the value, as `docker --env-file` keeps them)"
        yield f"{name}={shown}: {message[0].lower()}{message[1:]}{hint if quoted else ''}"


def _one_line(value: str) -> str:
    return value if value.isprintable() else value.encode("unicode_escape").decode("ascii")
