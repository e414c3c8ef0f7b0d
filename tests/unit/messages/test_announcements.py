"""Announcements of other versions are read: processes are replaced one by one."""

import msgspec
import pytest

from flashsale.domain.order_states import DeliveryState, Status
from flashsale.domain.orders import Outcome
from flashsale.domain.sales import Sale
from flashsale.messages.announcements import (
    BatchDecided,
    Decision,
    Progress,
    decision_on,
    decode_announcement,
    encode_announcement,
    progress_of,
)
from tests.conftest import an_order

ORDER = an_order(customer_id="ann", quantity=2)


class OldDecision(msgspec.Struct, frozen=True, array_like=True):
    """What the version before knows."""

    id: str
    status: str
    reason: str | None
    sku: str
    quantity: int
    remaining: int | None = None
    customer_id: str | None = None


class OldProgress(msgspec.Struct, frozen=True, array_like=True):
    """What the version before knows: a sale without stock is none."""

    sku: str
    stock: int
    sold: int


class OldBatch(msgspec.Struct, frozen=True, array_like=True, tag="decided"):
    """What the version before knows."""

    decisions: list[OldDecision]
    sales: list[OldProgress]
    drained_per_second: float


def test_the_version_before_reads_deliveries_and_sales_of_the_shops_stock() -> None:
    delivered = Outcome(ORDER, Status.CONFIRMED, order_ref="A-7", delivery=DeliveryState.DELIVERED)
    sales = [progress_of(Sale("tv", None, sold=2, sold_out=True))]
    body = encode_announcement(BatchDecided([decision_on(delivered)], sales, 1.0))
    old = msgspec.msgpack.decode(body, type=OldBatch)
    assert old.decisions == [OldDecision(ORDER.id, "confirmed", None, "tv", 2, None, "ann")]
    assert old.sales == [OldProgress("tv", 0, 2)]


def test_an_announcement_of_the_version_before_is_read() -> None:
    old = OldBatch(
        [OldDecision(ORDER.id, "confirmed", None, "tv", 2)], [OldProgress("tv", 5, 2)], 1.0
    )
    assert decode_announcement(msgspec.msgpack.encode(old)) == BatchDecided(
        [Decision(ORDER.id, Status.CONFIRMED, None, "tv", 2)], [Progress("tv", 5, 2)], 1.0
    )


@pytest.mark.parametrize("state", DeliveryState)
def test_a_decision_says_how_far_its_delivery_is(state: DeliveryState) -> None:
    outcome = Outcome(ORDER, Status.CONFIRMED, order_ref="A-7", delivery=state)
    body = encode_announcement(BatchDecided([decision_on(outcome)], [], 1.0))
    decided = decode_announcement(body)
    assert isinstance(decided, BatchDecided)
    [decision] = decided.decisions
    assert (decision.order_ref, decision.delivery) == ("A-7", state)
