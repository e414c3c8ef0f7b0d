"""Orders that are held: take in payments, and cancel and extend orders."""

from dataclasses import dataclass

from flashsale.domain.holds.pay_address import PayAddress
from flashsale.domain.sales import Verdict
from flashsale.ledger import Ledger
from flashsale.messages.announcements import orders_moved
from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.runtime.settings import Settings
from gateway.holds.order_changes import OrderChanges
from gateway.holds.payment_intake import PaymentIntake
from gateway.state.announcements import Announcements
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.orders import KnownOrders
from gateway.state.sales import KnownSales


@dataclass(frozen=True, slots=True)
class Holds:
    """The parts of a gateway that change orders which are held."""

    payments: PaymentIntake
    payment_keys: tuple[bytes, ...]
    """The keys, one of which signs each payment that is told. None: no payment is taken in."""
    pay_address: PayAddress | None
    """Where shoppers pay, if that is known."""
    changes: OrderChanges


def create_holds(
    settings: Settings,
    ledger: Ledger,
    known: tuple[KnownOrders, KnownSales, KnownDrain],
    announcements: Announcements,
    metrics: GatewayMetrics,
) -> Holds:
    """Return the parts, which change orders in the ledger and announce that."""
    orders, sales, drain = known

    def announce(changed: Verdict) -> None:
        announcements.announce_moved(orders_moved(changed, owners=settings.checks_tokens))

    return Holds(
        PaymentIntake(ledger, drain.clock.now, announce, metrics),
        settings.payment_keys,
        settings.pay_address,
        OrderChanges(ledger, orders, sales, drain.clock.now, announce),
    )
