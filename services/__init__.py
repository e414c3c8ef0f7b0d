"""Services: the work after a sale. Declare one by `Service`; `flashsale services` runs it."""

from flashsale.ledger import Effects, Totals
from flashsale.messages.events import OrderEvent
from flashsale.runtime.settings import ServiceSettings
from services.service import GiveUp, Handle, Retry, Service

__all__ = [
    "Effects",
    "GiveUp",
    "Handle",
    "OrderEvent",
    "Retry",
    "Service",
    "ServiceSettings",
    "Totals",
]
