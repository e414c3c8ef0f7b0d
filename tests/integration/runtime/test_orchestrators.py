"""A process starts in the environment that an orchestrator makes."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from flashsale.runtime.settings import PREFIX, Settings
from flashsale.runtime.settings_reader import installed_settings, variables
from loadtest.processes import get
from loadtest.servers import free_port
from tests.orchestrators import kubelet_variables, link_variables
from tests.processes import process

ROOT = Path(__file__).parents[3]
MANIFEST = ROOT / "deploy/kubernetes.yaml"


def manifests() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(MANIFEST.read_text())["items"]
    return found


def services() -> list[dict[str, Any]]:
    return [item for item in manifests() if item["kind"] == "Service"]


def of_the_manifest() -> dict[str, str]:
    """What the kubelet sets for the Services of the manifest, and for its Deployments' names."""
    found: dict[str, str] = {}
    for item in manifests():
        if item["kind"] == "Deployment":
            found |= kubelet_variables(item["metadata"]["name"])
    for service in services():
        ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
        found |= kubelet_variables(service["metadata"]["name"], ports=ports)
    return found


def of_services_named_like_settings() -> dict[str, str]:
    """What the kubelet sets if every setting has a Service of its name."""
    found: dict[str, str] = {}
    declared: list[type[BaseSettings]] = [Settings, *installed_settings()]
    for name in (name for each in declared for name in variables(each)):
        for service in {name, re.sub("_[A-Z]+$", "", name)}:
            found |= kubelet_variables(service.lower().replace("_", "-"))
    return found


@pytest.mark.parametrize(
    "made",
    [
        of_the_manifest(),
        of_services_named_like_settings(),
        link_variables("flashsale-gateway") | link_variables("flashsale-metrics"),
    ],
    ids=["the manifest", "a Service for every setting", "container links"],
)
def test_a_process_starts_and_names_the_variables_that_are_no_settings(
    made: dict[str, str], tmp_path: Path
) -> None:
    # Its ports are the default ones, which another process may have on the usual address.
    host = f"127.{os.getpid() % 250 + 2}.{free_port() % 250 + 2}.9"
    own = {"FLASHSALE_GATEWAY_HOST": host, "FLASHSALE_METRICS_HOST": host}
    inherited = {"PORT": "1", "HOST": "10.9.9.9", "HOSTNAME": "flashsale-gateway-0"}
    log = tmp_path / "run.log"
    with process(["flashsale", "run"], log, made | inherited | own) as started:
        started.await_url(f"http://{host}:8080/readyz")
        assert "flashsale_broker_up" in (get(f"http://{host}:9090/metrics") or "")
    [line] = [line for line in log.read_text().splitlines() if "variables ignored" in line]
    assert {name for name in made if name.startswith(PREFIX)} == set(re.findall(r"FLASH\w+", line))
    assert "unknown setting" not in log.read_text()


def test_no_pod_of_the_manifest_gets_variables_of_services() -> None:
    pods = [
        item["spec"]["template"]["spec"]
        for item in manifests()
        if "template" in item.get("spec", {})
    ]
    assert len(pods) == 4
    assert all(pod["enableServiceLinks"] is False for pod in pods)


def test_no_service_of_the_manifest_makes_variables_with_our_prefix() -> None:
    assert services()
    for service in services():
        made = kubelet_variables(service["metadata"]["name"])
        assert [name for name in made if name.startswith(PREFIX)] == []
