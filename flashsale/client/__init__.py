"""The Python client of the gateway: one intention is one order, whatever happens on the way."""

from flashsale.client.client import SaleClient
from flashsale.client.errors import (
    ClientError,
    NotTaken,
    OutcomeUnknown,
    Problem,
    Refused,
    Undecided,
    UnknownOrder,
)
from flashsale.client.exchanges import Exchange
from flashsale.client.orders import Intention, OrderState

__all__ = [
    "ClientError",
    "Exchange",
    "Intention",
    "NotTaken",
    "OrderState",
    "OutcomeUnknown",
    "Problem",
    "Refused",
    "SaleClient",
    "Undecided",
    "UnknownOrder",
]
