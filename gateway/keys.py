"""What the handlers find on the application."""

from aiohttp import web

from flashsale.broker import Broker
from flashsale.ledger import Ledger
from flashsale.metrics import GatewayMetrics
from flashsale.settings import Settings
from gateway.accepting import Desk
from gateway.backlog import Backlog
from gateway.catalogue import Catalogue

SETTINGS = web.AppKey("settings", Settings)
BROKER = web.AppKey("broker", Broker)
LEDGER = web.AppKey("ledger", Ledger)
METRICS = web.AppKey("metrics", GatewayMetrics)
CATALOGUE = web.AppKey("catalogue", Catalogue)
BACKLOG = web.AppKey("backlog", Backlog)
DESK = web.AppKey("desk", Desk)
