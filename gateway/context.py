"""What the handlers and background tasks of a gateway share: `request.app[CONTEXT]`."""

from dataclasses import dataclass

from aiohttp import web

from flashsale.broker import Broker
from flashsale.ledger import AuditLog, ManagedSales, OrderPages, WebhookBoard
from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.runtime.background import Background
from flashsale.runtime.dead_letters import DeadLetters
from flashsale.runtime.settings import Settings
from gateway.holds import Holds
from gateway.http.cors import Cors
from gateway.http.public_path import PublicPath
from gateway.http.sse import EventStreams
from gateway.identity import Identity
from gateway.intake.accept_order import OrderIntake
from gateway.limits.client_limits import ClientLimits
from gateway.operators.control_changes import ControlChanges
from gateway.server.lifecycle import Lifecycle
from gateway.state.announcements import Announcements
from gateway.state.backlog import Backlog
from gateway.state.drain.known_controls import KnownControls
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.ledger_lookup import LedgerLookup
from gateway.state.missing_orders import MissingOrders
from gateway.state.ops_samples import OpsSamples
from gateway.state.orders import KnownOrders
from gateway.state.queue_position import QueuePosition
from gateway.state.rankings import Rankings
from gateway.state.sales import KnownSales
from gateway.state.sales_listing import SalesListing
from gateway.state.stream_changes import StreamChanges


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of a gateway. `gateway.app.create_app` builds it."""

    settings: Settings
    metrics: GatewayMetrics
    broker: Broker
    background: Background
    lifecycle: Lifecycle
    cors: Cors
    public_path: PublicPath
    identity: Identity | None
    """None if no keys are set, so that no token can be checked."""
    client_limits: ClientLimits | None
    """None if no limit of clients is set."""
    # What the gateway knows.
    drain: KnownDrain
    controls: KnownControls
    queue_position: QueuePosition
    backlog: Backlog
    orders: KnownOrders
    missing_orders: MissingOrders
    sales: KnownSales
    sales_listing: SalesListing
    rankings: Rankings
    ops_samples: OpsSamples
    # How it learns that, and takes orders.
    ledger_lookup: LedgerLookup
    control_changes: ControlChanges
    audit_log: AuditLog
    dead_letters: DeadLetters
    managed_sales: ManagedSales
    order_pages: OrderPages
    webhooks: WebhookBoard
    private_webhooks: bool
    """Whether webhooks may go to private addresses."""
    announcements: Announcements
    intake: OrderIntake
    holds: Holds
    # Whom it tells, and of what.
    streams: EventStreams
    changes: StreamChanges


CONTEXT = web.AppKey("context", Context)
