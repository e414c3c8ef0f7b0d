"""`flashsale check`: audit the books, and judge a sale by its history."""

import asyncio
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flashsale.audit.history import HistoryError, read_history
from flashsale.audit.rules import Backlog, ExpectedEffects, HistorySummary, Verdict, judge
from flashsale.broker import open_broker, topic_matches
from flashsale.cli.json_output import STANDARD_OUTPUT, as_json, print_json
from flashsale.cli.ledger_command import with_ledger
from flashsale.ledger import Books, Holdings, Ledger, open_ledger
from flashsale.runtime.process import fail, run, settings_or_fail
from flashsale.runtime.settings import Settings, SettingsError, load_settings
from flashsale.runtime.stack import topology_of, warnings_of

if TYPE_CHECKING:
    from services.service import AnyService

_MAX_SHOWN = 20
_STANDARD_OUTPUT = Path(STANDARD_OUTPUT)


def check(
    history: Annotated[
        list[Path] | None,
        typer.Option(
            help="History of the sale: a file of JSON lines, or a folder of such files. May be"
            " given several times. With it, every promise is judged, not only the books."
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", help="Write the verdict to this file, too; print it as JSON without a file."
        ),
    ] = None,
) -> None:
    """Check that the books balance. If not, print the wrong rows and exit with code 1."""
    if history:
        check_history(history, json_file)
        return

    async def audit(ledger: Ledger) -> Books:
        await ledger.verify_schema()
        settings = load_settings()
        await warnings_of(settings)
        return await ledger.audit()

    books = with_ledger(audit)
    if json_file is not None:
        _write(json_file, {**vars(books), "balanced": not books.wrong})
    quiet = json_file == _STANDARD_OUTPUT
    for row in () if quiet else books.wrong:
        print(f"wrong: {row}")
    words = f"{books.sales} sales, {books.orders} orders, {books.sold} items sold"
    if books.held or books.waiting:
        words += f", {books.held} held, {books.waiting} orders in line"
    if books.deliveries_pending or books.deliveries_failed:
        words += (
            f", {books.deliveries_pending} deliveries pending, {books.deliveries_failed} failed"
        )
    if books.wrong:
        fail(f"the books do not balance ({words}): {len(books.wrong)} wrong rows")
    if not quiet:
        print(f"the books balance: {words}, {books.oversold} oversold")


def check_history(paths: Sequence[Path], json_file: Path | None) -> None:
    """Judge a sale by its history, and print the verdict.

    Exits with code 1 if a promise was broken, or if orders or events still wait, since it is too
    early to judge then.
    """
    from services.installed import chosen_services

    settings = settings_or_fail()
    # A million observations stay in memory, and the garbage collector would double the time.
    gc.disable()
    try:
        services = chosen_services(settings.services)
        seen = HistorySummary(read_history(paths), casefold=settings.customer_id_casefold)
    except (HistoryError, SettingsError) as error:
        fail(str(error))
    if not seen.observations:
        fail(f"{', '.join(map(str, paths))}: a history without a line can't be judged")
    found: list[tuple[Holdings, Backlog]] = []

    async def read(_: asyncio.Event) -> None:
        # The queues first, so that an order that leaves its queue meanwhile is in the ledger.
        waiting = await _backlog(settings, services)
        async with open_ledger(settings.database_url, settings.database_schema) as ledger:
            await ledger.verify_schema()
            totals = {service.name: service.totals for service in services if service.totals}
            found.append((await ledger.holdings(seen.skus, totals), waiting))

    run(read)
    expected = [_expected_effects(service) for service in services]
    drain = topology_of(settings).orders
    verdict = judge(seen, *found[0], expected, settings.drain_rate, drain)
    if json_file is not None:
        _write(json_file, verdict)
    _print_verdict(verdict, quiet=json_file == _STANDARD_OUTPUT)


def _write(file: Path, value: object) -> None:
    if file == _STANDARD_OUTPUT:
        print_json(value)
        return
    try:
        file.write_bytes(as_json(value) + b"\n")
    except OSError as error:
        fail(f"--json {file}: {error.strerror}")


def _expected_effects(service: "AnyService") -> ExpectedEffects:
    patterns = [topic.split(".") for topic in service.topics]

    def wants(topic: str) -> bool:
        return any(topic_matches(pattern, topic.split(".")) for pattern in patterns)

    return ExpectedEffects(service.name, wants, service.totals.per_item if service.totals else 1)


async def _backlog(settings: Settings, services: Sequence["AnyService"]) -> Backlog:
    """Return the messages that wait on the broker. An embedded broker ended with its process."""
    from services.queues import retry_queue, services_topology, work_queue

    if settings.embedded:
        return Backlog()
    topology = topology_of(settings)
    prefix = settings.broker_prefix
    topology += services_topology(prefix, topology.events, settings.queue_type, services)
    async with open_broker(
        settings.broker_url, topology, settings.publish_timeout_seconds
    ) as broker:
        orders = (await broker.depth(topology.orders)).ready
        events: dict[str, int] = {}
        for service in services:
            queues = [work_queue(prefix, service)]
            queues += [retry_queue(prefix, service, pause) for pause in set(service.retry.pauses)]
            events[service.name] = sum([(await broker.depth(queue)).ready for queue in queues])
    return Backlog(orders, events)


def _print_verdict(verdict: Verdict, *, quiet: bool) -> None:
    for rule, lines in () if quiet else verdict.violations.items():
        for line in lines[:_MAX_SHOWN]:
            print(f"{rule}: {line}")
        if len(lines) > _MAX_SHOWN:
            print(f"{rule}: ... and {len(lines) - _MAX_SHOWN} more")
    words = (
        f"{verdict.asked} orders sent, {verdict.accepted} accepted, {verdict.orders} decided,"
        f" {verdict.confirmed} confirmed"
    )
    count = sum(map(len, verdict.violations.values()))
    if count:
        fail(f"promises were broken ({words}): {count} violations")
    if verdict.waiting:
        fail(f"too early to judge ({words}): {'; '.join(verdict.waiting)}")
    if not quiet:
        print(f"every promise was kept: {words}")
