"""The report of a sale: what the shoppers were told, held against what the ledger says."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import msgspec
from rich.console import Console
from rich.table import Table

from flashsale.ledger import Books
from flashsale.orders import Outcome, Status

_MOST_ERRORS_SHOWN = 5


class Entry(msgspec.Struct, array_like=True):
    """One order that a shopper sent: Unix time, seconds to the answer, and the answer."""

    sent_at: float
    seconds: float
    status: int
    order_id: str
    problem: str
    key: str


class Report(msgspec.Struct):
    """The figures of a sale. Rates are orders a second."""

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
    broken: list[str]


@dataclass(frozen=True)
class Evidence:
    """What the report is made from."""

    history: list[Entry]
    outcomes: Mapping[str, Outcome]
    books: Books
    stock: int
    sold: int
    drain_rate_limit: int
    drain_rate_max_1s: int


def read_history(folder: Path) -> list[Entry]:
    """All entries that the shoppers wrote, by the time they were sent."""
    decode = msgspec.json.Decoder(Entry).decode
    entries = [
        decode(line)
        for file in folder.glob("history-*.jsonl")
        for line in file.read_bytes().splitlines()
    ]
    return sorted(entries, key=lambda entry: entry.sent_at)


def judge(evidence: Evidence) -> Report:
    """Make the report; `broken` names the promises that were not kept."""
    history, outcomes = evidence.history, evidence.outcomes
    accepted = [entry for entry in history if entry.status == 202]
    refused = Counter(entry.problem for entry in history if entry.status in (409, 429, 503))
    statuses = Counter(outcome.status for outcome in outcomes.values())
    rejected = Counter(str(o.reason) for o in outcomes.values() if o.status is Status.REJECTED)
    report = Report(
        offered=len(history),
        offered_rate_peak=_most_in_a_second(entry.sent_at for entry in history),
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
        broken=list(evidence.books.wrong),
    )
    for count, words in (
        (report.oversold, "items sold that were not there"),
        (report.lost, "accepted orders lost"),
        (max(0, report.drain_rate_max_1s - report.drain_rate_limit), "orders over the limit"),
        (report.failed, "orders in the dead queue"),
        (report.client_errors, "requests without a proper answer"),
        (int(not history), "orders sent by no shopper: the load test did not run"),
    ):
        if count:
            report.broken.append(f"{count} {words}")
    return report


def print_report(report: Report, console: Console) -> None:
    """Print the report for people."""
    table = Table(title="The sale", show_header=False, title_justify="left")
    table.add_row("offered", f"{report.offered:,} orders, {report.offered_rate_peak:,}/s at peak")
    table.add_row("accepted (202)", f"{report.accepted:,}")
    for problem, count in sorted(report.refused.items()):
        table.add_row(f"  refused: {problem}", f"{count:,}")
    table.add_row("confirmed", f"{report.confirmed:,}")
    for reason, count in sorted(report.rejected.items()):
        table.add_row(f"  rejected: {reason}", f"{count:,}")
    table.add_row("stock, sold", f"{report.stock:,}, {report.sold:,}")
    table.add_row("oversold, lost", f"{report.oversold}, {report.lost}")
    table.add_row(
        "drained, in any second",
        f"at most {report.drain_rate_max_1s:,} (limit {report.drain_rate_limit:,})",
    )
    latency = ", ".join(f"{name} {value:.1f} ms" for name, value in report.accept_ms.items())
    table.add_row("accepted in", latency)
    console.print(table)
    for words in report.broken[:_MOST_ERRORS_SHOWN]:
        console.print(f"[bold red]broken:[/] {words}")
    if not report.broken:
        console.print("[bold green]Every promise was kept.[/]")


def _most_in_a_second(moments: Iterable[float]) -> int:
    return max(Counter(int(moment) for moment in moments).values(), default=0)


def _percentiles(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {}
    cuts = quantiles(values, n=100, method="inclusive")
    return {name: round(cuts[at - 1], 2) for name, at in (("p50", 50), ("p95", 95), ("p99", 99))}
