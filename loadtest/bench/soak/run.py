"""Run the minutes of a soak test, and judge the samples."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from loadtest.bench.soak.growth import BOUNDS, Trend, levels
from loadtest.bench.soak.plan import Plan
from loadtest.bench.soak.promises import broken_promises
from loadtest.bench.soak.samples import Samples
from loadtest.bench.soak.shop import BROKER, DATABASE, Shop
from loadtest.bench.soak.shoppers import Shoppers

# The memory of the servers is mostly caches, and their files are those of queues and tables. But
# the number of their connections depends on our processes.
_NOT_OURS = frozenset({BROKER, DATABASE})


@dataclass(frozen=True)
class SoakResult:
    """The result of a soak test."""

    samples: Samples
    starts: Sequence[float]
    judged: Sequence[Trend]
    broken: Sequence[str]
    sent: int
    accepted: int
    statuses: dict[int, int]

    @property
    def passed(self) -> bool:
        """Whether no resource grew and every promise was kept."""
        return not self.broken and all(one.flat for one in self.judged)

    def figures(self) -> dict[str, object]:
        """Return all figures under flat keys."""
        found: dict[str, object] = {
            "minutes": len(self.starts),
            "sent": self.sent,
            "accepted": self.accepted,
        }
        found |= {f"answers_{status}": count for status, count in self.statuses.items()}
        for one in self.judged:
            name = f"{one.process.replace(' ', '_').lower()}_{one.what}"
            found[f"{name}_first"], found[f"{name}_last"] = one.levels[0], one.levels[-1]
            found[f"{name}_slope"] = one.slope
        not_flat = [f"{one.process}: {one.what}" for one in self.judged if not one.flat]
        return found | {"not_flat": not_flat, "broken": list(self.broken)}


async def soak(shop: Shop, plan: Plan, tell: Callable[[str], None]) -> SoakResult:
    """Run the minutes of the plan against the shop, then judge."""
    shoppers, samples = Shoppers(shop.port, shop.secret), Samples()
    starts: list[float] = []
    skus: list[str] = []
    async with open_ledger(shop.database) as ledger:
        with samples.taken(shop.parts):
            for number in range(1, plan.minutes + 1):
                starts.append(time.monotonic())
                # Each sale closes with its minute, so that closed sales must cost nothing.
                ends = time.time() + plan.minute
                skus.append(sku := f"minute-{number}")
                await ledger.create_sale(Sale(sku, plan.stock, closes_at=ends))
                await shoppers.order(sku, plan.schedule())
                tell(f"minute {number} of {plan.minutes}: {len(shoppers.accepted):,} accepted")
                await asyncio.sleep(starts[-1] + plan.minute - time.monotonic())
        broken = await broken_promises(ledger, shoppers, skus, shop.consumer_ports, plan)
    return SoakResult(
        samples,
        starts,
        judge(samples, starts, plan),
        broken,
        sent=shoppers.statuses.total() + shoppers.unanswered,
        accepted=len(shoppers.accepted),
        statuses=dict(sorted(shoppers.statuses.items())),
    )


def judge(samples: Samples, starts: Sequence[float], plan: Plan) -> list[Trend]:
    """Return the trend of each sampled resource, by its level at the quiet end of each minute."""
    judged = []
    for (process, what), points in samples.seen.items():
        if what in BOUNDS:
            ours = process not in _NOT_OURS or what == "connections"
            found = levels(points, starts, plan.quiet_from, plan.minute)
            judged.append(Trend(process, what, found, BOUNDS[what] if ours else None))
    return judged
