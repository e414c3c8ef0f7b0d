"""The report of a sale: compare the answers to the shoppers with the ledger."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import msgspec
from rich.console import Console
from rich.table import Table

from flashsale.audit.history import OrderAttempt, read_history
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Outcome
from flashsale.ledger import Books, Journey
from flashsale.ledger.holdings import Decided
from loadtest.demo import holds

_MOST_ERRORS_SHOWN = 5
_CALM_RATE = 100


class Report(msgspec.Struct, omit_defaults=True):
    """The figures of a sale. Rates are orders a second; `broken` lists the broken promises.

    `holds` is there if orders are held for a payment.
    """

    offered: int
    offered_rate_peak: int
    accepted: int
    refused: dict[str, int]
    confirmed: int
    rejected: dict[str, int]
    failed: int
    stock: int
    sold: int
    oversold: int
    lost: int
    drain_rate_limit: int
    drain_rate_max_1s: int
    accept_ms: dict[str, float]
    client_errors: int
    services_ms: dict[str, float]
    after_sale_ms: dict[str, float]
    one_after_the_other_ms: dict[str, float]
    effects_missing: int
    broken: list[str]
    holds: dict[str, int] = {}


@dataclass(frozen=True)
class Evidence:
    """The data for the report."""

    history: Sequence[OrderAttempt]
    outcomes: Mapping[str, Outcome]
    books: Books
    stock: int
    sold: int
    drain_rate_limit: int
    drain_rate_max_1s: int
    service_seconds: Mapping[str, float]
    calm_service_seconds: Mapping[str, float]
    journeys: Sequence[Journey]
    held: Sequence[Decided] = ()
    """The orders with all states that they were in, if the sale has holds."""
    overdue: int = 0
    """How many holds should have ended."""


def orders_sent(folder: Path) -> list[OrderAttempt]:
    """Return all orders that the shoppers sent, in order of time. Raises `HistoryError`."""
    lines = read_history(folder.glob("history-*.jsonl"))
    return sorted(
        (line for line in lines if isinstance(line, OrderAttempt)), key=lambda sent: sent.at
    )


def judge(evidence: Evidence) -> Report:
    """Build the report, with the promises that were broken."""
    history, outcomes, journeys = evidence.history, evidence.outcomes, evidence.journeys
    accepted = [entry for entry in history if entry.status == 202]
    refused = Counter(entry.problem for entry in history if entry.status in (409, 429, 503))
    statuses = Counter(outcome.status for outcome in outcomes.values())
    rejected = Counter(str(o.reason) for o in outcomes.values() if o.status is Status.REJECTED)
    # With holds it would be the time that shoppers take to pay.
    after_sale = {} if evidence.held else _after_sale(journeys)
    spike, calm = evidence.service_seconds, evidence.calm_service_seconds
    report = Report(
        offered=len(history),
        offered_rate_peak=_most_in_a_second(entry.at for entry in history),
        accepted=len(accepted),
        refused=dict(refused),
        confirmed=statuses[Status.CONFIRMED],
        rejected=dict(rejected),
        failed=statuses[Status.FAILED],
        stock=evidence.stock,
        sold=evidence.sold,
        oversold=max(0, evidence.sold - evidence.stock),
        lost=sum(entry.order_id not in outcomes for entry in accepted),
        drain_rate_limit=evidence.drain_rate_limit,
        drain_rate_max_1s=evidence.drain_rate_max_1s,
        accept_ms=_percentiles([entry.seconds * 1000 for entry in accepted]),
        client_errors=len(history) - len(accepted) - refused.total(),
        services_ms={name: round(s * 1000, 1) for name, s in evidence.service_seconds.items()},
        after_sale_ms=after_sale,
        one_after_the_other_ms={
            name: round(ms + _more_seconds(calm if name == "calm" else spike) * 1000, 1)
            for name, ms in after_sale.items()
        },
        effects_missing=len(evidence.service_seconds) * statuses[Status.CONFIRMED]
        - sum(journey.services for journey in journeys),
        broken=list(evidence.books.wrong),
        holds=holds.figures(evidence.held) if evidence.held else {},
    )
    for count, words in (
        (report.oversold, "items sold over the stock"),
        (report.lost, "accepted orders lost"),
        (max(0, report.drain_rate_max_1s - report.drain_rate_limit), "orders over the limit"),
        (report.failed, "orders in the dead queue"),
        (evidence.overdue, "holds that should have ended"),
        (report.effects_missing, "effects of services missing"),
        (report.client_errors, "requests without a proper answer"),
        (int(not history), "load test without an order: it did not run"),
    ):
        if count:
            report.broken.append(f"{count} {words}")
    return report


def _after_sale(journeys: Sequence[Journey]) -> dict[str, float]:
    """Return the percentiles of the time from a 202 to the last service, in milliseconds.

    `calm` is the median outside the spike.
    """
    found = _percentiles([(j.done_at - j.accepted_at) * 1000 for j in journeys])
    in_second = Counter(int(j.accepted_at) for j in journeys)
    calm = [
        (j.done_at - j.accepted_at) * 1000
        for j in journeys
        if in_second[int(j.accepted_at)] <= _CALM_RATE
    ]
    return found | ({"calm": round(median(calm), 2)} if found and calm else {})


def _more_seconds(took: Mapping[str, float]) -> float:
    """Return the extra seconds of services that run in sequence: the sum minus the longest."""
    return sum(took.values()) - max(took.values(), default=0.0)


def print_report(report: Report, console: Console) -> None:
    """Print the report as a table."""
    table = Table(title="The sale", show_header=False, title_justify="left")
    table.add_row("offered", f"{report.offered:,} orders, {report.offered_rate_peak:,}/s at peak")
    table.add_row("accepted (202)", f"{report.accepted:,}")
    for problem, count in sorted(report.refused.items()):
        table.add_row(f"  refused: {problem}", f"{count:,}")
    for row in holds.lines(report.holds) if report.holds else ():
        table.add_row(*row)
    table.add_row("confirmed", f"{report.confirmed:,}")
    for reason, count in sorted(report.rejected.items()):
        table.add_row(f"  rejected: {reason}", f"{count:,}")
    table.add_row("stock, sold", f"{report.stock:,}, {report.sold:,}")
    table.add_row("oversold, lost", f"{report.oversold}, {report.lost}")
    table.add_row(
        "drained, in any second",
        f"at most {report.drain_rate_max_1s:,} (limit {report.drain_rate_limit:,})",
    )
    table.add_row("accepted in", _in_words(report.accept_ms))
    if report.after_sale_ms:
        each = ", ".join(f"{name} {ms:,.0f} ms" for name, ms in report.services_ms.items())
        table.add_row("services", each)
        table.add_row("from 202 to the last one", _in_words(report.after_sale_ms))
        table.add_row("  one after the other", _in_words(report.one_after_the_other_ms))
    console.print(table)
    for words in report.broken[:_MOST_ERRORS_SHOWN]:
        console.print(f"[bold red]broken:[/] {words}")
    if not report.broken:
        console.print("[bold green]Every promise was kept.[/]")


def _in_words(milliseconds: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:,.1f} ms" for name, value in milliseconds.items())


def _most_in_a_second(moments: Iterable[float]) -> int:
    return max(Counter(int(moment) for moment in moments).values(), default=0)


def _percentiles(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {}
    cuts = quantiles(values, n=100, method="inclusive")
    return {name: round(cuts[at - 1], 2) for name, at in (("p50", 50), ("p95", 95), ("p99", 99))}
