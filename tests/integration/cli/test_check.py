"""`flashsale check --history`: a real sale is right, and what is then tampered with is found."""

import json
import shutil
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from flashsale.audit.history import (
    Observation,
    OrderAttempt,
    Released,
    StatusPoll,
    body_hash,
    encode_line,
)
from flashsale.audit.rules import RULES
from flashsale.broker import RabbitMQ, sale_topology
from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from flashsale.messages.orders import encode_order
from loadtest.servers import free_port
from tests.conftest import an_order, unique
from tests.integration.cli.test_cli import flashsale, one_line
from tests.processes import process

STOCK = 5
NOBODYS = "f" * 32


@dataclass
class Held:
    """A sale that is over: its ledger and its history. Tests change copies of them."""

    database: Path
    history: list[Observation]

    def run(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.database)) as connection, connection:
            # What the tables themselves would refuse is to be found as well.
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute(statement, values)

    def check(self, *more: str, **settings: str) -> subprocess.CompletedProcess[str]:
        file = self.database.with_name("history.jsonl")
        file.write_bytes(b"".join(map(encode_line, self.history)))
        url = f"sqlite+aiosqlite:///{self.database}"
        return flashsale("check", "--history", str(file), *more, database_url=url, **settings)

    def violations(self) -> dict[str, list[str]]:
        verdict = self.database.with_name("verdict.json")
        result = self.check("--json", str(verdict))
        found: dict[str, list[str]] = json.loads(verdict.read_text())["violations"]
        assert tuple(found) == RULES
        assert result.returncode == (1 if any(found.values()) else 0), result.stderr
        return found

    def of_status(self, status: str) -> str:
        """The id of an order."""
        with closing(sqlite3.connect(self.database)) as connection:
            (found,) = connection.execute(
                "SELECT id FROM orders WHERE status = ? ORDER BY id LIMIT 1", (status,)
            ).fetchone()
            return str(found)


def _send(url: str, customer: str, key: str) -> OrderAttempt:
    body = json.dumps({"sku": "tv", "customer_id": customer}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    at = time.monotonic()
    try:
        request = urllib.request.Request(f"{url}/orders", body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            status, told = answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            status, told = error.code, json.load(error)
    seconds = time.monotonic() - at
    order_id, problem = told.get("order_id", ""), told.get("type", "").rpartition("/")[2]
    return OrderAttempt(
        at, seconds, "tv", customer, key, body_hash(body), status, order_id, problem, url
    )


def _look(url: str, order_id: str) -> StatusPoll:
    at = time.monotonic()
    request = urllib.request.Request(f"{url}/orders/{order_id}", headers={"Prefer": "wait=20"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        state = json.load(answer)["status"]
        return StatusPoll(at, time.monotonic() - at, order_id, answer.status, state, url)


def _done(database: Path) -> bool:
    """Whether every service has done its work: two for the confirmed, mail and webhook for all."""
    with closing(sqlite3.connect(database)) as connection:
        effects, orders, confirmed = connection.execute(
            "SELECT (SELECT count(*) FROM effects), count(*), sum(status = 'confirmed') FROM orders"
        ).fetchone()
        return bool(effects == 2 * (orders + confirmed))


@pytest.fixture(scope="module")
def over(tmp_path_factory: pytest.TempPathFactory) -> Held:
    """A sale of five items, of which everybody may have one, to nine orders of eight people."""
    folder = tmp_path_factory.mktemp("sale")
    database = folder / "sale.db"
    ledger = f"sqlite+aiosqlite:///{database}"
    flashsale("migrate", database_url=ledger)
    options = ["--stock", str(STOCK), "--customer-limit", "1"]
    flashsale("sale", "create", "tv", *options, database_url=ledger)
    port = free_port()
    environment = {
        "FLASHSALE_DATABASE_URL": ledger,
        "FLASHSALE_GATEWAY_PORT": str(port),
        "FLASHSALE_METRICS_PORT": "0",
        "FLASHSALE_SHUTDOWN_SECONDS": "0",
    }
    history: list[Observation] = []
    with process(["flashsale", "run"], folder / "log", environment) as running:
        url = f"http://127.0.0.1:{port}"
        running.await_url(f"{url}/readyz")
        for number in range(9):
            customer = f"c-{number or 1}"  # the first two are one person
            asked = _send(url, customer, f"key-{number}")
            history.append(asked)
            if asked.status == 202:
                history.append(_look(url, asked.order_id))
        deadline = time.monotonic() + 30
        while not _done(database):
            assert time.monotonic() < deadline, running.output
            time.sleep(0.05)
    return Held(database, history)


@pytest.fixture
def held(over: Held, tmp_path: Path) -> Held:
    with closing(sqlite3.connect(over.database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Held(Path(shutil.copy(over.database, tmp_path)), list(over.history))


def test_a_real_sale_keeps_every_promise(held: Held) -> None:
    result = held.check()
    assert result.returncode == 0, result.stdout + result.stderr
    accepted = sum(isinstance(o, OrderAttempt) and o.status == 202 for o in held.history)
    assert accepted > STOCK
    words = f"9 orders sent, {accepted} accepted, {accepted} decided, {STOCK} confirmed"
    assert result.stdout == f"every promise was kept: {words}\n"


def _an_order_is_gone(held: Held) -> None:
    order_id = held.of_status("rejected")
    for table, column in (("orders", "id"), ("outbox", "order_id"), ("effects", "order_id")):
        held.run(f"DELETE FROM {table} WHERE {column} = ?", order_id)


def _an_order_of_nobody(held: Held) -> None:
    rejected = held.of_status("rejected")
    for table, column in (("orders", "id"), ("outbox", "order_id"), ("effects", "order_id")):
        with closing(sqlite3.connect(held.database)) as connection:
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        new = {column: NOBODYS, "event_id": NOBODYS}
        copied = ", ".join("?" if name in new else name for name in names)
        values = [new[name] for name in names if name in new]
        held.run(
            f"INSERT INTO {table} SELECT {copied} FROM {table} WHERE {column} = ?",
            *values, rejected,
        )  # fmt: skip


def _more_than_there_was(held: Held) -> None:
    held.run("UPDATE sales SET stock = stock - 1")


def _more_than_one_may_have(held: Held) -> None:
    held.run("UPDATE orders SET quantity = 2 WHERE id = ?", held.of_status("confirmed"))
    held.run("UPDATE sales SET sold = sold + 1, stock = stock + 1")
    for table, column, count in (("ranking", "bought", 1), ("loyalty", "points", 10)):
        held.run(
            f"UPDATE {table} SET {column} = {column} + {count} WHERE customer_id ="
            " (SELECT customer_id FROM orders WHERE quantity = 2)"
        )


def _no_event(held: Held) -> None:
    held.run("DELETE FROM outbox WHERE order_id = ?", held.of_status("confirmed"))


def _points_twice(held: Held) -> None:
    held.run("UPDATE loyalty SET points = 2 * points")


def _no_letter(held: Held) -> None:
    held.run(
        "DELETE FROM effects WHERE service = 'mail' AND order_id = ?", held.of_status("rejected")
    )


def _a_letter_of_another_event(held: Held) -> None:
    held.run(
        "UPDATE effects SET event_id = ? WHERE service = 'mail' AND order_id = ?",
        NOBODYS,
        held.of_status("rejected"),
    )


def _two_events(held: Held) -> None:
    held.run(
        "INSERT INTO outbox (event_id, order_id, topic, created_at, sent_at)"
        " SELECT ?, order_id, topic, created_at, sent_at FROM outbox WHERE order_id = ?",
        NOBODYS,
        held.of_status("rejected"),
    )


def _decided_otherwise(held: Held) -> None:
    order_id = held.of_status("rejected")
    held.history.append(StatusPoll(time.monotonic(), 0.0, order_id, 200, "confirmed", "elsewhere"))


def _given_another_order(held: Held) -> None:
    first = next(o for o in held.history if isinstance(o, OrderAttempt))
    held.history.append(
        OrderAttempt(1, 0, "tv", first.customer, first.key, first.body, 409, NOBODYS, "sold-out")
    )


def _a_burst(held: Held) -> None:
    held.history += [Released(1, 1500, 1), Released(1.5, 501, 2)]


def _never_delivered(held: Held) -> None:
    held.run("UPDATE orders SET delivery = 'pending' WHERE id = ?", held.of_status("confirmed"))


def _not_taken_by_the_shop(held: Held) -> None:
    held.run("UPDATE sales SET stock = NULL")


WRONGS: list[tuple[str, Callable[[Held], None]]] = [
    ("lost", _an_order_is_gone),
    ("invented", _an_order_of_nobody),
    ("oversold", _more_than_there_was),
    ("over_limit", _more_than_one_may_have),
    ("books", _no_event),
    ("effects", _points_twice),
    ("effects", _no_letter),
    ("effects", _a_letter_of_another_event),
    ("books", _two_events),
    ("went_back", _decided_otherwise),
    ("doubled", _given_another_order),
    ("over_rate", _a_burst),
    ("undelivered", _never_delivered),
    ("books", _not_taken_by_the_shop),
]


@pytest.mark.parametrize(("rule", "wrong"), WRONGS, ids=[w.__name__[1:] for _, w in WRONGS])
def test_tampering_is_found_by_its_rule(
    held: Held, rule: str, wrong: Callable[[Held], None]
) -> None:
    wrong(held)
    assert {name for name, lines in held.violations().items() if lines} == {rule}


def test_check_counts_deliveries(held: Held) -> None:
    url = f"sqlite+aiosqlite:///{held.database}"
    assert "deliveries" not in flashsale("check", database_url=url).stdout
    held.run("UPDATE orders SET delivery = 'delivered' WHERE status = 'confirmed'")
    held.run("UPDATE orders SET delivery = 'failed' WHERE id = ?", held.of_status("confirmed"))
    assert ", 0 deliveries pending, 1 failed" in flashsale("check", database_url=url).stdout
    found = json.loads(flashsale("check", "--json", "-", database_url=url).stdout)
    assert (found["deliveries_pending"], found["deliveries_failed"]) == (0, 1)


def test_check_shows_some_of_many_violations(held: Held) -> None:
    for number in range(30):
        held.history.append(
            OrderAttempt(1, 0, "tv", "c", f"{number}", "", 202, f"{number:032x}", "", "elsewhere")
        )
    result = held.check()
    lines = [line for line in result.stdout.splitlines() if line.startswith("lost: ")]
    assert len(lines) == 21
    assert lines[-1] == "lost: ... and 10 more"
    assert "promises were broken (39 orders sent" in one_line(result)
    assert one_line(result).endswith(": 30 violations")


def test_check_does_not_judge_the_effects_of_services_that_are_off(held: Held) -> None:
    held.run("DELETE FROM effects")
    assert held.check(services="none").returncode == 0
    assert "effects: mail: not done for" in held.check(services="mail").stdout


def test_a_history_that_says_nothing_is_one_line(held: Held, tmp_path: Path) -> None:
    held.history = []
    assert "a history without a line" in one_line(held.check())
    (tmp_path / "history.jsonl").write_text('{"event": "asked"}\n')
    folder = flashsale("check", "--history", str(tmp_path), database_url="sqlite+aiosqlite:///x.db")
    assert "history.jsonl, line 1: " in one_line(folder)
    assert "nowhere: No such file" in one_line(flashsale("check", "--history", "nowhere"))


def test_a_broker_that_is_away_is_one_line(held: Held) -> None:
    result = held.check(broker_url=f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    assert "no broker at FLASHSALE_BROKER_URL" in one_line(result)


async def test_check_says_it_is_too_early_while_orders_wait(
    sqlite_url: str, rabbit_url: str, tmp_path: Path
) -> None:
    async with open_ledger(sqlite_url) as ledger:
        await ledger.migrate()
        await ledger.create_sale(Sale("tv", 1))
    prefix = f"{unique('c')}."
    topology = sale_topology(prefix, 2000, "quorum")
    first, second = an_order(), an_order()
    file = tmp_path / "history.jsonl"
    settings = {
        "database_url": sqlite_url,
        "broker_url": rabbit_url,
        "broker_prefix": prefix,
        "services": "none",
    }
    with file.open("wb") as history:
        history.write(encode_line(OrderAttempt(1, 0, "tv", "c", "k", "", 202, first.id)))
    async with RabbitMQ(rabbit_url, topology) as broker:
        await broker.publish(topology.orders, "order", encode_order(first), message_id=first.id)
    early = flashsale("check", "--history", str(file), **settings)
    assert "too early to judge" in one_line(early)
    assert "1 accepted orders are not decided, 1 wait" in one_line(early)
    assert early.stdout == ""
    with file.open("ab") as history:
        history.write(encode_line(OrderAttempt(1, 0, "tv", "d", "k", "", 202, second.id)))
    lost = flashsale("check", "--history", str(file), **settings)
    assert f"lost: order {second.id}" in lost.stdout
