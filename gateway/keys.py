"""What the handlers find on the application."""

from aiohttp import web

from flashsale.broker import Broker
from flashsale.metrics import GatewayMetrics
from flashsale.settings import Settings
from gateway.accepting import Desk
from gateway.backlog import Backlog
from gateway.catalogue import Catalogue
from gateway.hearing import Hearing
from gateway.lifecycle import Lifecycle
from gateway.line import Line
from gateway.listing import Listing
from gateway.lookup import Lookup
from gateway.memory import Memory
from gateway.ranking import Rankings
from gateway.samples import Samples
from gateway.streams import Streams

SETTINGS = web.AppKey("settings", Settings)
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
