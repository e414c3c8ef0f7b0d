"""Find the installed services.

A package names its services in the group of entry points `flashsale.services`.
"""

from collections.abc import Collection

from flashsale.runtime.entry_points import installed
from flashsale.runtime.settings import PREFIX, SettingsError
from flashsale.runtime.settings_reader import GROUP as SETTINGS
from flashsale.runtime.settings_reader import installed_settings
from services.service import AnyService, Service

GROUP = "flashsale.services"


def installed_services() -> dict[str, AnyService]:
    """Return all installed services by name.

    Raises `SettingsError` if one can't be loaded, or if its settings are no entry point, so that no
    other process knows them.
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
    """Return the services of FLASHSALE_SERVICES, or those of them that `names` lists.

    Raises `SettingsError` if a service is not installed, or not among FLASHSALE_SERVICES.
    """
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
                f"{PREFIX}SERVICES={setting}: must have {name} in it: the consumer declares the"
                " queues of these services only"
            )
    return [installed[name] for name in sorted(names or own)]
