"""Variables that an orchestrator sets for a service are told from settings."""

import pytest
from pydantic_settings import BaseSettings

from flashsale.runtime.service_links import is_service_address, service_links
from flashsale.runtime.settings import Settings, SettingsError, load_settings
from flashsale.runtime.settings_reader import installed_settings, variables
from flashsale.runtime.settings_table import ignored_service_links, unknown_settings
from tests.orchestrators import kubelet_variables, link_variables


def setting_names() -> list[str]:
    declared: list[type[BaseSettings]] = [Settings, *installed_settings()]
    return [name for each in declared for name in variables(each)]


@pytest.mark.parametrize(
    "made",
    [
        kubelet_variables("flashsale-gateway"),
        kubelet_variables("flashsale", ports={"http": 8080, "https-alt": 8443}),
        kubelet_variables("flashsale-metrics", address="fd00:10:96::a"),
        link_variables("flashsale-gateway"),
    ],
    ids=["service", "two ports", "IPv6", "container link"],
)
def test_every_variable_of_a_service_is_recognised(made: dict[str, str]) -> None:
    assert service_links(made) == set(made)
    assert unknown_settings(made) == []
    assert ignored_service_links(made) == sorted(made)


@pytest.mark.parametrize("value", ["8080", "0", "tcp", "http://shop:80", "eighty", ""])
def test_a_port_of_another_form_is_no_address_of_a_service(value: str) -> None:
    assert not is_service_address("FLASHSALE_GATEWAY_PORT", value)
    assert service_links({"FLASHSALE_GATEWAY_PORT": value}) == set()


def test_a_slip_of_the_pen_beside_a_service_is_still_found() -> None:
    environment = kubelet_variables("flashsale-gateway") | {"FLASHSALE_GATEWAY_PROT": "8080"}
    assert unknown_settings(environment) == ["FLASHSALE_GATEWAY_PROT"]


def test_no_setting_has_a_name_that_an_orchestrator_makes_except_ports() -> None:
    """A port is told by its value; the other variables have values that a setting may have."""
    made = {name: "1" for name in setting_names()}
    assert service_links(made) == set()


@pytest.mark.parametrize("name", [n for n in setting_names() if n.endswith("_PORT")])
def test_a_service_named_like_a_port_setting_leaves_its_default(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    default = load_settings()
    for variable, value in kubelet_variables(name.removesuffix("_PORT").lower()).items():
        monkeypatch.setenv(variable, value)
    assert load_settings() == default


def test_a_wrong_port_is_still_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASHSALE_GATEWAY_PORT", "http://10.96.7.3:80")
    with pytest.raises(SettingsError, match=r"^FLASHSALE_GATEWAY_PORT=http:"):
        load_settings()
