"""A shop of version 0.1.0 is upgraded while shoppers order, as the docs say and otherwise."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.compose.engine import Engine
from tests.compose.images import BEFORE, IMAGE, NEW
from tests.compose.project import Project, ask
from tests.compose.shoppers import Shoppers
from tests.compose.version_before import MISSING

SKU = "tv-55"
SERVICES = ("loyalty", "mail", "ranking")
"""Those of the version before. The webhook service of this one hears later events only."""

EFFECTS = "SELECT count(*) FROM effects WHERE service <> 'webhook'"
DRAIN_RATE = 20


@dataclass
class Shop:
    """A shop of version 0.1.0, and the same shop after `docker compose build` of this version."""

    old: Project
    new: Project
    accepted: set[str] = field(default_factory=set)

    def order(self, count: int, prefix: str) -> list[str]:
        """Order one item for each of many customers; return the ids of the accepted orders."""
        [url] = self.new.gateways()

        def one(number: int) -> str:
            order = {"sku": SKU, "customer_id": f"{prefix}-{number}"}
            answers: list[tuple[int, Any]] = []

            def taken() -> bool:
                # The queue of the orders takes none while it becomes a quorum queue.
                answers.append(ask(f"{url}/orders", order, Idempotency_Key=f"{prefix}-{number}"))
                return answers[-1][0] == 202

            self.new.until(taken, "accepted order", 60)
            return str(answers[-1][1]["order_id"])

        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(one, range(count)))
        self.accepted.update(ids)
        return ids

    def query(self, sql: str) -> list[list[str]]:
        """Return the rows of a query of the database."""
        psql = "psql", "-U", "flashsale", "--tuples-only", "--no-align", "--command"
        search = "SET search_path = flashsale, public"
        printed = self.new("exec", "--no-TTY", "postgres", *psql, search, "--command", sql)
        return [line.split("|") for line in printed.splitlines()[1:]]

    def number(self, sql: str) -> int:
        """Return the only value of a query."""
        [[value]] = self.query(sql)
        return int(value)

    def until(self, sql: str, value: int) -> None:
        """Wait until a query returns that value."""
        self.new.until(lambda: self.number(sql) == value, f"{value} by {sql}")

    def build(self) -> None:
        """Do what `docker compose build` does after a checkout of this version."""
        self.new.docker("tag", NEW, IMAGE)


@pytest.fixture
def shop(
    before: Path | None, docker: Engine, variables: dict[str, str], tmp_path: Path
) -> Iterator[Shop]:
    """A shop of version 0.1.0 in the middle of a sale.

    Orders wait in the queue, events in the outbox, and other events in the queues of services.
    """
    if before is None:
        pytest.skip(MISSING)
    docker("tag", BEFORE, IMAGE)
    variables = variables | {"FLASHSALE_DRAIN_RATE": str(DRAIN_RATE)}
    new = Project(docker, tmp_path, variables)
    opened = Shop(Project(docker, tmp_path, variables, before), new)
    try:
        opened.old.up()
        opened.old.flashsale("sale", "create", SKU, "--stock", "10000")
        [url] = new.gateways()
        new.until(lambda: ask(f"{url}/sales/{SKU}")[0] == 200, "sale")
        opened.order(5, "done")
        opened.until(EFFECTS, 5 * len(SERVICES))
        opened.old("stop", "services")
        opened.order(5, "event")
        opened.until("SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL", 10)
        opened.order(100, "waiting")
        time.sleep(1)
        # The relay holds events back while orders wait.
        opened.old("kill", "consumer")
        assert opened.number("SELECT count(*) FROM outbox WHERE sent_at IS NULL") > 0
        assert opened.number("SELECT count(*) FROM orders") < len(opened.accepted)
        yield opened
    finally:
        new("down", "--volumes", "--timeout", "5")
        opened.build()


def assert_every_order_was_decided_once(shop: Shop, shoppers: Shoppers) -> None:
    """Wait until everything is done, and compare it with what shoppers were told."""
    shoppers.until_all_confirmed()
    shop.accepted.update(shoppers.accepted)
    count = len(shop.accepted)
    shop.until(EFFECTS, count * len(SERVICES))
    rows = shop.query("SELECT id, status FROM orders")
    # Also orders whose 202 did not arrive are in the ledger, but each customer retries its key.
    assert {order_id: status for order_id, status in rows} == dict.fromkeys(
        shop.accepted, "confirmed"
    )
    assert shop.number("SELECT sold FROM sales") == count
    assert shop.number("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == 0
    per_service = (
        "SELECT service, count(*), count(DISTINCT order_id) FROM effects"
        " WHERE service <> 'webhook' GROUP BY 1"
    )
    assert {(s, int(n), int(d)) for s, n, d in shop.query(per_service)} == {
        (service, count, count) for service in SERVICES
    }
    assert shop.number("SELECT sum(bought) FROM ranking") == count
    assert shop.number("SELECT count(*) FROM loyalty") == count
    assert f"{count} items sold, 0 oversold" in shop.new.flashsale("check")
    [url] = shop.new.gateways()
    assert [o for o in shop.accepted if ask(f"{url}/orders/{o}")[1]["status"] != "confirmed"] == []


def test_an_upgrade_as_the_docs_say_loses_no_order(shop: Shop) -> None:
    with Shoppers(shop.new, SKU) as shoppers:
        shop.build()
        shop.new("stop", "consumer", "services")
        shop.new("run", "--rm", "--no-TTY", "migrate")
        shop.new("up", "--detach", "--no-deps", "consumer", "services")
        shop.new.until(shop.new.healthy, "health of the new consumers")
        # The gateway of 0.1.0 takes orders, and hears what the new consumer decided.
        assert len(shop.order(5, "between")) == 5
        time.sleep(1)
        shop.new.up()
    assert_every_order_was_decided_once(shop, shoppers)
    for service in ("gateway", "consumer", "services"):
        assert "Traceback" not in shop.new("logs", "--no-log-prefix", service), service


def test_an_upgrade_in_another_order_says_so_and_loses_no_order(shop: Shop) -> None:
    with Shoppers(shop.new, SKU) as shoppers:
        shop.old("start", "consumer")
        shop.build()
        # Gateways first: they refuse the tables of before, in one line.
        shop.new("up", "--detach", "--no-deps", "gateway")

        def refused() -> str:
            return shop.new("logs", "--no-log-prefix", "--no-color", "gateway")

        shop.new.until(lambda: "flashsale migrate" in refused(), "refusal of the gateway")
        assert "Traceback" not in refused()
        # Then the migration, beside consumers of before.
        shop.new("run", "--rm", "--no-TTY", "migrate")
        shop.new.until(lambda: ask(f"{shop.new.gateways()[0]}/readyz")[0] == 200, "new gateway")
        time.sleep(5)  # for the old ones to try what they can't
        shop.new.up()
    assert_every_order_was_decided_once(shop, shoppers)
