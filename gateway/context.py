"""What the handlers find on the application."""

from aiohttp import web

from flashsale.broker import Broker
from flashsale.observability.gateway_metrics import GatewayMetrics
from flashsale.runtime.background import Background
from flashsale.runtime.settings import Settings
from gateway.http.sse import Streams
from gateway.intake.accept_order import Desk
from gateway.server.lifecycle import Lifecycle
from gateway.state.announcements import Hearing
from gateway.state.backlog import Backlog
from gateway.state.ledger_lookup import Lookup
from gateway.state.ops_samples import Samples
from gateway.state.orders import Memory
from gateway.state.queue_position import Line
from gateway.state.rankings import Rankings
from gateway.state.sales import Catalogue
from gateway.state.sales_listing import Listing

SETTINGS = web.AppKey("settings", Settings)
BACKGROUND = web.AppKey("background", Background)
BROKER = web.AppKey("broker", Broker)
METRICS = web.AppKey("metrics", GatewayMetrics)
CATALOGUE = web.AppKey("catalogue", Catalogue)
BACKLOG = web.AppKey("backlog", Backlog)
DESK = web.AppKey("desk", Desk)
HEARING = web.AppKey("hearing", Hearing)
LIFECYCLE = web.AppKey("lifecycle", Lifecycle)
LINE = web.AppKey("line", Line)
LISTING = web.AppKey("listing", Listing)
LOOKUP = web.AppKey("lookup", Lookup)
MEMORY = web.AppKey("memory", Memory)
RANKINGS = web.AppKey("rankings", Rankings)
SAMPLES = web.AppKey("samples", Samples)
STREAMS = web.AppKey("streams", Streams)
