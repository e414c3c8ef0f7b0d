"""What a shop does with docker-compose.yml, and what happens to it meanwhile.

The tests share one project and run in this order.
"""

import re
import time
from typing import Any

import pytest

from tests.compose.project import NAME, Project, ask
from tests.compose.shoppers import Shoppers

OURS = ("gateway", "consumer", "services")
PASSWORD = "flashsale:flashsale@"


def create_sale(project: Project, sku: str, stock: int = 100_000) -> None:
    project.flashsale("sale", "create", sku, "--stock", str(stock))
    url = project.gateways()[0]
    project.until(lambda: ask(f"{url}/sales/{sku}")[0] == 200, f"sale of {sku}")


def books(project: Project) -> str:
    return project.flashsale("check")


def test_each_container_starts_after_what_it_needs(project: Project) -> None:
    def moment(service: str, which: str) -> str:
        return min(str(c["State"][which]) for c in project.containers(service))

    [migrate] = project.containers("migrate")
    assert migrate["State"]["ExitCode"] == 0
    assert moment("postgres", "StartedAt") < moment("migrate", "StartedAt")
    for service in OURS:
        assert moment("migrate", "FinishedAt") < moment(service, "StartedAt")
        assert moment("rabbitmq", "StartedAt") < moment(service, "StartedAt")
    assert all(c["RestartCount"] == 0 for c in project.containers())


def test_our_processes_have_no_power_and_no_place_to_write(project: Project) -> None:
    for service in (*OURS, "prometheus"):
        status = project("exec", "--no-TTY", service, "cat", "/proc/self/status")
        found = dict(re.findall(r"^(\w+):\s+(.*)$", status, re.M))
        assert "0" not in found["Uid"].split(), service
        assert {int(found[f"Cap{kind}"], 16) for kind in ("Prm", "Eff", "Bnd")} == {0}, service
        assert found["NoNewPrivs"] == "1", service
        tried = "touch /a 2>/dev/null || touch /opt/a 2>/dev/null || echo none"
        assert project("exec", "--no-TTY", service, "sh", "-c", tried) == "none", service


def test_prometheus_reads_every_process_and_no_alert_fires(project: Project) -> None:
    def targets() -> dict[str, list[str]]:
        _, answer = ask(f"{project.prometheus}/api/v1/targets?state=active")
        found: dict[str, list[str]] = {}
        for target in (answer or {"data": {"activeTargets": []}})["data"]["activeTargets"]:
            found.setdefault(target["labels"]["job"], []).append(target["health"])
        return found

    expected = {"gateway": 1, "consumer": 2, "services": 1, "rabbitmq": 1}
    project.until(
        lambda: targets() == {job: ["up"] * count for job, count in expected.items()},
        "targets that are up",
    )

    def firing() -> list[dict[str, str]]:
        _, answer = ask(f"{project.prometheus}/api/v1/alerts")
        return [a["labels"] for a in answer["data"]["alerts"] if a["state"] == "firing"]

    # Prometheus may be there half a minute before the consumers are.
    project.until(lambda: firing() == [], "end of all alerts", 30)


def test_the_shoppers_of_the_load_profile_buy_all(project: Project) -> None:
    create_sale(project, "tv-55", stock=200)
    project("--profile", "load", "run", "--rm", "--no-TTY", "locust")
    url = project.gateways()[0]
    project.until(lambda: ask(f"{url}/sales/tv-55")[1]["sold"] == 200, "sold-out sale", 30)
    assert "200 items sold, 0 oversold" in books(project)


def test_two_gateways_answer_for_each_other(project: Project) -> None:
    project.up("--scale", "gateway=2", "--no-recreate")
    first, second = project.gateways()
    create_sale(project, "two")
    project.until(lambda: ask(f"{second}/sales/two")[0] == 200, "sale at the other gateway")
    status, order = ask(f"{first}/orders", {"sku": "two", "customer_id": "c-1"})
    assert status == 202
    project.until(
        lambda: (ask(f"{second}/orders/{order['order_id']}")[1] or {}).get("status") == "confirmed",
        "outcome at the other gateway",
        10,
    )


@pytest.mark.parametrize(
    "service", ["gateway", "consumer", "services", "postgres", "rabbitmq", "prometheus"]
)
def test_a_container_that_is_killed_comes_back_and_no_order_is_lost(
    project: Project, service: str
) -> None:
    sku = f"killed-{service}"
    create_sale(project, sku)
    with Shoppers(project, sku) as shoppers:
        time.sleep(1)
        killed = project.containers(service)[0]
        project.kill(killed)

        def restarted() -> bool:
            [found] = [c for c in project.containers(service) if c["Id"] == killed["Id"]]
            return bool(found["RestartCount"] > killed["RestartCount"])

        project.until(restarted, f"restart of {service}")
        project.until(project.healthy, f"health after a kill of {service}")
        time.sleep(1)
    shoppers.until_all_confirmed()
    assert len(shoppers.accepted) > 5
    assert "0 oversold" in books(project)


@pytest.mark.parametrize(("server", "network"), [("postgres", "database"), ("rabbitmq", "sale")])
def test_a_network_that_is_cut_heals_and_no_order_is_lost(
    project: Project, server: str, network: str
) -> None:
    sku = f"cut-{network}"
    create_sale(project, sku)
    [container] = project.containers(server)
    with Shoppers(project, sku) as shoppers:
        time.sleep(1)
        project.docker("network", "disconnect", f"{NAME}_{network}", container["Id"])
        time.sleep(6)
        project.docker(
            *("network", "connect", "--alias", server, f"{NAME}_{network}", container["Id"])
        )
        project.until(project.healthy, "health after the cut")
        time.sleep(1)
    shoppers.until_all_confirmed()
    assert len(shoppers.accepted) > 5
    assert "0 oversold" in books(project)


def test_a_stop_in_the_middle_of_a_spike_is_orderly_and_loses_nothing(project: Project) -> None:
    create_sale(project, "stopped")
    with Shoppers(project, "stopped") as shoppers:
        time.sleep(2)
        project("stop")
        failed = [c for c in project.containers() if c["State"]["ExitCode"]]
        assert not failed, (
            [c["Name"] for c in failed],
            project("logs", "--no-color", "--tail", "40", *OURS),
        )
        assert not any(c["State"]["OOMKilled"] for c in project.containers())
        project("start")
        project.until(project.healthy, "health after the start")
    shoppers.until_all_confirmed()
    assert "0 oversold" in books(project)


def test_down_and_up_keep_the_volumes_and_what_waits_in_the_queue(project: Project) -> None:
    create_sale(project, "kept")
    project("stop", "consumer")
    url = project.gateways()[0]
    accepted = []
    for number in range(20):
        status, order = ask(f"{url}/orders", {"sku": "kept", "customer_id": f"c-{number}"})
        assert status == 202
        accepted.append(order["order_id"])
    project("down")
    project.up()
    [url] = project.gateways()

    def confirmed(order_id: str) -> bool:
        answer: dict[str, Any] = ask(f"{url}/orders/{order_id}")[1] or {}
        return answer.get("status") == "confirmed"

    project.until(lambda: all(map(confirmed, accepted)), "outcome of what waited")
    assert ask(f"{url}/sales/kept")[1]["sold"] == 20
    assert ask(f"{url}/sales/tv-55")[1]["sold"] == 200
    assert "0 oversold" in books(project)


def test_no_log_has_a_traceback_or_a_password(project: Project) -> None:
    for service in OURS:
        log = project("logs", "--no-color", "--no-log-prefix", service)
        assert "Traceback" not in log, service
        assert PASSWORD not in log, service
        assert "drain is active" in log or service != "consumer"
