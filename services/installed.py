"""Find the services that are installed.

A package adds services by naming them as entry points of the group `flashsale.services`.
"""

from collections.abc import Collection

from flashsale.runtime.installed import installed
from flashsale.runtime.settings import GROUP as SETTINGS
from flashsale.runtime.settings import PREFIX, SettingsError, installed_settings
from services.service import AnyService, Service

GROUP = "flashsale.services"


def installed_services() -> dict[str, AnyService]:
    """Return all that are installed, by name.

    Raises `SettingsError` if one can't be loaded, or has settings that no other process knows.
    """
    known = installed_settings()
    found: dict[str, AnyService] = {}
    for name, service in installed(GROUP).items():
        if not isinstance(service, Service) or service.name != name:
            raise SettingsError(f"{GROUP} {name}: {service!r} is no Service of that name")
        if service.settings is not None and service.settings not in known:
            raise SettingsError(f"{GROUP} {name}: its settings are no entry point of {SETTINGS}")
        found[name] = service
    return found


def chosen_services(setting: str, names: Collection[str] = ()) -> list[AnyService]:
    """The services of this shop, or of these the named ones. Raises `SettingsError`."""
    installed = installed_services()
    if setting == "all":
        own = set(installed)
    else:
        own = set() if setting == "none" else set(setting.split(","))
    for name in (*own, *names):
        if name not in installed:
            raise SettingsError(
                f"there is no service {name}; installed are {', '.join(installed) or 'none'}"
            )
    for name in names:
        if name not in own:
            raise SettingsError(
                f"{PREFIX}SERVICES={setting}: must have {name} in it, as the consumer sees by it"
                " which queues to fill"
            )
    return [installed[name] for name in sorted(names or own)]
