"""What ships beside the code: Compose, Kubernetes, Prometheus and Grafana files."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from flashsale.runtime.settings import PREFIX, Settings
from flashsale.runtime.settings_table import unknown_settings
from grafana.__main__ import DASHBOARDS as MADE
from grafana.__main__ import as_json

ROOT = Path(__file__).parents[2]
# What Compose starts of the image.
PROCESSES = ("migrate", "gateway", "consumer", "services")
DASHBOARDS = sorted((ROOT / "grafana/dashboards").glob("*.json"))


def panels(dashboard: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(dashboard.read_text())["panels"]
    return found


def grid_cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    """The cells of the dashboard's grid that the panel covers."""
    at = panel["gridPos"]
    return set(
        itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"]))
    )


def compose(folder: Path, *options: str) -> dict[str, Any]:
    """The Compose file as Compose reads it in that folder, away from a .env of the developer's."""
    shutil.copy(ROOT / "docker-compose.yml", folder)
    program = Path(sys.executable).with_name("docker-compose")
    done = subprocess.run(
        [str(program), *options, "config", "--format", "json"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "is not set" not in done.stderr
    config: dict[str, Any] = json.loads(done.stdout)
    return config


def test_compose_is_valid_without_an_env_file(tmp_path: Path) -> None:
    config = compose(tmp_path)
    assert set(config["services"]) == {
        *("rabbitmq", "postgres", "migrate", "gateway", "consumer", "services"),
        *("prometheus", "grafana"),
    }
    assert config["services"]["consumer"]["deploy"]["replicas"] == 2
    for name, service in config["services"].items():
        for port in service.get("ports", ()):
            assert port["host_ip"] == "127.0.0.1", f"{name} is published to the world"


def test_compose_has_shoppers_for_who_asks_for_them(tmp_path: Path) -> None:
    config = compose(tmp_path, "--profile", "load")["services"]["locust"]
    assert config["build"]["target"] == "load"
    assert config["depends_on"]["gateway"]["condition"] == "service_healthy"
    stages = re.findall(r"^FROM .* AS (\S+)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert "load" in stages


def test_compose_gives_no_container_the_whole_machine(tmp_path: Path) -> None:
    for name, service in compose(tmp_path, "--profile", "load")["services"].items():
        assert int(service["mem_limit"]) <= 2**30, name
        assert service["pids_limit"] == 2048, name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
        # A share where a limit would hold a sale back; no limit that a small machine has not.
        assert service.get("cpus", 0) == 1 or service["cpu_shares"] > 0, name


def test_compose_tells_rabbitmq_the_memory_that_it_may_use(tmp_path: Path) -> None:
    """Else it takes 60 % of the machine's memory for allowed, and is killed before that."""
    rabbitmq = compose(tmp_path)["services"]["rabbitmq"]
    arguments = rabbitmq["environment"]["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"].split()
    assert arguments[-2:] == ["total_memory_available_override_value", rabbitmq["mem_limit"]]


def test_compose_gives_no_container_powers_that_it_does_not_use(tmp_path: Path) -> None:
    services = compose(tmp_path, "--profile", "load")["services"]
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        # The images of the servers start as root, to own their volumes, and step down.
        if name not in ("rabbitmq", "postgres"):
            assert int(service["user"].partition(":")[0]) > 0, name
            assert service["cap_drop"] == ["ALL"], name
            assert service["read_only"] is True, name
            assert service["tmpfs"] == ["/tmp"], name
    user = re.findall(r"^USER (\S+)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert {services[name]["user"] for name in (*PROCESSES, "locust")} == set(user)


def test_compose_lets_the_dashboards_reach_metrics_and_no_database(tmp_path: Path) -> None:
    config = compose(tmp_path, "--profile", "load")
    members: dict[str, set[str]] = {}
    for name, service in config["services"].items():
        for network in service["networks"]:
            members.setdefault(network, set()).add(name)
    assert members == {
        "database": {"postgres", *PROCESSES},
        "sale": {"rabbitmq", "prometheus", "locust", *PROCESSES},
        "watching": {"prometheus", "grafana"},
    }
    assert [name for name, how in config["networks"].items() if how.get("internal")] == ["database"]


def test_compose_starts_processes_with_settings_that_exist(tmp_path: Path) -> None:
    services = compose(tmp_path)["services"]
    for name in PROCESSES:
        variables = {k: v for k, v in services[name]["environment"].items() if v}
        given = {k.removeprefix(PREFIX).lower(): v for k, v in variables.items()}
        assert unknown_settings(variables) == [], name
        assert not Settings.model_validate(given).embedded


def test_compose_starts_nothing_before_what_it_needs(tmp_path: Path) -> None:
    services = compose(tmp_path)["services"]
    needs = {
        name: {needed: how["condition"] for needed, how in service.get("depends_on", {}).items()}
        for name, service in services.items()
    }
    healthy, done = "service_healthy", "service_completed_successfully"
    assert needs["migrate"] == {"postgres": healthy}
    for name in ("gateway", "consumer", "services"):
        assert needs[name] == {"rabbitmq": healthy, "postgres": healthy, "migrate": done}
    for name in set(services) - {"migrate"}:
        assert services[name]["healthcheck"]["test"], name
        assert services[name]["restart"] == "unless-stopped", name
        assert services[name]["stop_grace_period"] in ("30s", "1m0s"), name
    assert services["migrate"]["restart"] == "no"


def test_compose_uses_the_values_of_the_example_without_an_env_file(tmp_path: Path) -> None:
    without = compose(tmp_path)
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")
    assert compose(tmp_path) == without


def test_every_variable_of_an_env_file_arrives(tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text()
    names = re.findall(r"^(\w+)=", example, re.M)
    text = (ROOT / "docker-compose.yml").read_text()
    assert set(names) == set(re.findall(r"\$\{(\w+)", text))
    # Numbers, as some are ports.
    values = {name: str(23_001 + number) for number, name in enumerate(names)}
    (tmp_path / ".env").write_text("".join(f"{k}={v}\n" for k, v in values.items()))
    config = json.dumps(compose(tmp_path, "--profile", "load"))
    assert [name for name, value in values.items() if value not in config] == []


def test_the_image_holds_no_load_test_and_names_no_index() -> None:
    lock = (ROOT / "requirements-image.lock").read_text()
    assert "locust" not in lock
    assert "://" not in lock
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    for copied in re.findall(r"^COPY (?!--)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.M):
        for name in copied.split():
            assert {f"!{name}", f"!{name.partition('/')[0]}"} & set(ignored), name


def test_the_dockerfile_is_clean() -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [str(program), "--no-color", "Dockerfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_kubernetes_takes_the_manifests(version: str) -> None:
    resources = yaml.safe_load((ROOT / "deploy/kubernetes.yaml").read_text())["items"]
    for resource in resources:
        kubernetes_validate.validate(resource, version, strict=True)
    by_kind = {resource["kind"]: resource for resource in resources}
    given = by_kind["ConfigMap"]["data"] | by_kind["Secret"]["stringData"]
    names = {name.removeprefix(PREFIX).lower(): value for name, value in given.items()}
    assert unknown_settings(given) == []
    assert not Settings.model_validate(names).embedded
    for resource in resources:
        if resource["kind"] == "Deployment":
            pod = resource["spec"]["template"]
            assert pod["metadata"]["labels"] == resource["spec"]["selector"]["matchLabels"]
            [container] = pod["spec"]["containers"]
            assert container["startupProbe"]
            assert container["livenessProbe"]
            # A rollout stops at pods that do not get ready, and leaves the old ones.
            assert container["readinessProbe"]
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
    # Else `kubectl apply` of the next version is refused: a Job can't be changed.
    assert by_kind["Job"]["spec"]["ttlSecondsAfterFinished"] > 0


def test_prometheus_takes_the_scrape_config() -> None:
    subprocess.run(
        ["promtool", "check", "config", "prometheus/prometheus.yml"], check=True, cwd=ROOT
    )


def test_grafana_finds_its_data_source() -> None:
    provisioned = yaml.safe_load(
        (ROOT / "grafana/provisioning/datasources/prometheus.yml").read_text()
    )
    [source] = provisioned["datasources"]
    for dashboard in DASHBOARDS:
        for panel in panels(dashboard):
            sources = [panel["datasource"], *(t["datasource"] for t in panel["targets"])]
            assert all(found["uid"] == source["uid"] for found in sources)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_keeps_the_rules_of_good_ones(dashboard: Path) -> None:
    found = json.loads(dashboard.read_text())
    assert found["title"]
    assert found["uid"]
    assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])
    cells = [cell for panel in found["panels"] for cell in grid_cells(panel)]
    assert len(set(cells)) == len(cells), "panels overlap"
    assert max(x for x, _ in cells) < 24
    for panel in found["panels"]:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for target in panel["targets"]:
            assert target["legendFormat"]
            ranges = re.findall(r"\[(.*?)\]", target["expr"])
            assert all(found == "$__rate_interval" for found in ranges), target["expr"]
            assert bool(ranges) == bool(re.search(r"rate\(|increase\(", target["expr"]))


def test_the_dashboards_are_those_that_their_python_makes() -> None:
    assert {path.name for path in DASHBOARDS} == set(MADE)
    for path in DASHBOARDS:
        assert path.read_text() == as_json(MADE[path.name]()), "run `make dashboards`"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_survives_the_way_through_the_sdk(path: Path) -> None:
    found = json.loads(path.read_text())
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(found)))
    assert again == found
