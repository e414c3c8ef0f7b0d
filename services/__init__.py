"""Services: the work after a sale. Declare one by `Service`; `flashsale services` runs it."""

from flashsale.ledger import Effects, Totals
from flashsale.messages.events import OrderEvent
from flashsale.runtime.settings_reader import ServiceSettings
from services.errors import GiveUp, Later, OutcomeUnknown, Unavailable
from services.service import Handle, Retry, Service

__all__ = [
    "Effects",
    "GiveUp",
    "Handle",
    "Later",
    "OrderEvent",
    "OutcomeUnknown",
    "Retry",
    "Service",
    "ServiceSettings",
    "Totals",
    "Unavailable",
]
