"""Load the entry points of installed packages.

https://packaging.python.org/en/latest/specifications/entry-points/
"""

from importlib.metadata import entry_points

from flashsale.runtime.errors import SettingsError


def installed(group: str) -> dict[str, object]:
    """Return the loaded entry points of a group, by name.

    Raises `SettingsError` if one of them can't be loaded.
    """
    found: dict[str, object] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            found[entry.name] = entry.load()
        except Exception as error:  # the import of another package's module may raise anything
            raise SettingsError(f"{group} {entry.name} ({entry.value}): {error!r}") from error
    return found
