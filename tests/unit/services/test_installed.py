import pytest

import services.installed
from flashsale.runtime.settings import SettingsError
from services import OrderEvent, Service, ServiceSettings
from services.installed import installed_services


class ProbeSettings(ServiceSettings):
    probe_url: str = ""


def a_service(**options: object) -> Service[OrderEvent]:
    async def handle(event: OrderEvent, effects: object) -> None:
        """Do nothing."""

    return Service("probe", ("order.#",), lambda event: event, handle, **options)  # type: ignore[arg-type]


def installed(monkeypatch: pytest.MonkeyPatch, service: object) -> None:
    monkeypatch.setattr(services.installed, "installed", lambda group: {"probe": service})


def test_the_built_in_services_have_tables_settings_and_totals_of_their_own() -> None:
    found = installed_services()
    assert set(found) == {"loyalty", "mail", "ranking", "webhook"}
    assert all(service.settings for service in found.values())
    for name in ("loyalty", "ranking"):
        service = found[name]
        assert service.tables is not None
        assert service.totals is not None
        assert set(service.tables.tables) == {name} == {service.totals.total.table.name}


def test_a_service_without_the_entry_point_of_its_settings_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed(monkeypatch, a_service(settings=ProbeSettings))
    with pytest.raises(SettingsError, match=r"probe: its settings are no entry point of flashsale"):
        installed_services()


def test_an_entry_point_that_is_no_service_of_its_name_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed(monkeypatch, "a string")
    with pytest.raises(SettingsError, match="no Service of that name"):
        installed_services()
