"""All settings as a table, and the variables that look like settings and are none."""

import os
from collections.abc import Mapping
from typing import Any

from pydantic_settings import BaseSettings

from flashsale.runtime.environment import PREFIX
from flashsale.runtime.service_links import service_links
from flashsale.runtime.settings import Settings
from flashsale.runtime.settings_reader import installed_settings, variables


def unknown_settings(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return variables with our prefix that are no setting, probably misspelt ones."""
    known = {name for declared in _settings_classes() for name in variables(declared)}
    known |= service_links(environment)
    return sorted(
        name
        for name in environment
        if name.upper().startswith(PREFIX)
        and name.upper() not in known  # the case of a name does not count
        and not name.upper().startswith((f"{PREFIX}TEST_", f"{PREFIX}LOAD_"))
    )


def ignored_service_links(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the variables with our prefix that an orchestrator set by itself."""
    return sorted(name for name in service_links(environment) if name.startswith(PREFIX))


def settings_table() -> str:
    """Return all settings as a Markdown table, with those of installed services last."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for setting in all_settings():
        default = "" if setting["default"] in (None, "") else f"`{setting['default']}`"
        rows.append(f"| `{setting['variable']}` | {default} | {setting['meaning']} |")
    return "\n".join(rows) + "\n"


def all_settings() -> list[dict[str, Any]]:
    """Return variable, default and meaning of all settings, with those of services last."""
    return [
        {"variable": name, "default": field.default, "meaning": field.description}
        for declared in _settings_classes()
        for name, field in variables(declared).items()
    ]


def _settings_classes() -> list[type[BaseSettings]]:
    return [Settings, *installed_settings()]
