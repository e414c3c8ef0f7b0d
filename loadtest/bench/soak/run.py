"""A long run: minute after minute, and what became of everything."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flashsale.domain.sales import Sale
from flashsale.ledger import open_ledger
from loadtest.bench.soak.flat import BOUNDS, Judged, levels
from loadtest.bench.soak.plan import Plan
from loadtest.bench.soak.promises import broken_promises
from loadtest.bench.soak.samples import Samples
from loadtest.bench.soak.shop import BROKER, DATABASE, Shop
from loadtest.bench.soak.shoppers import Shoppers

# Their memory is caches that fill as they please, and their files are those of queues and tables;
# how many connections they have is up to us.
_NOT_OURS = frozenset({BROKER, DATABASE})


@dataclass(frozen=True)
class Soaked:
    """What a run gave."""

    samples: Samples
    starts: Sequence[float]
    judged: Sequence[Judged]
    broken: Sequence[str]
    sent: int
    accepted: int
    statuses: dict[int, int]

    @property
    def passed(self) -> bool:
        """Whether everything stayed flat and every promise was kept."""
        return not self.broken and all(one.flat for one in self.judged)

    def figures(self) -> dict[str, object]:
        """All of it, flat."""
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


async def soak(shop: Shop, plan: Plan, tell: Callable[[str], None]) -> Soaked:
    """Run the minutes of the plan against the shop, then judge."""
    shoppers, samples = Shoppers(shop.port, shop.secret), Samples()
    starts: list[float] = []
    skus: list[str] = []
    async with open_ledger(shop.database) as ledger:
        with samples.taken(shop.parts):
            for number in range(1, plan.minutes + 1):
                starts.append(time.monotonic())
                # It ends with its minute, as a sale does: what is over must cost nothing.
                ends = time.time() + plan.minute
                skus.append(sku := f"minute-{number}")
                await ledger.create_sale(Sale(sku, plan.stock, closes_at=ends))
                await shoppers.order(sku, plan.schedule())
                tell(f"minute {number} of {plan.minutes}: {len(shoppers.accepted):,} accepted")
                await asyncio.sleep(starts[-1] + plan.minute - time.monotonic())
        broken = await broken_promises(ledger, shoppers, skus, shop.consumer_ports, plan)
    return Soaked(
        samples,
        starts,
        judge(samples, starts, plan),
        broken,
        sent=shoppers.statuses.total() + shoppers.unanswered,
        accepted=len(shoppers.accepted),
        statuses=dict(sorted(shoppers.statuses.items())),
    )


def judge(samples: Samples, starts: Sequence[float], plan: Plan) -> list[Judged]:
    """Everything that was sampled of the processes, in the quiet end of each minute."""
    judged = []
    for (process, what), points in samples.seen.items():
        if what in BOUNDS:
            ours = process not in _NOT_OURS or what == "connections"
            found = levels(points, starts, plan.quiet_from, plan.minute)
            judged.append(Judged(process, what, found, BOUNDS[what] if ours else None))
    return judged
