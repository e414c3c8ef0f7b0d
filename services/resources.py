"""The parts of a process that a service may use for work of its own, beside its events."""

import asyncio
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from flashsale.ledger import Ledger
from flashsale.runtime.background import Background


@dataclass(frozen=True)
class Resources:
    """What `Service.opened_with` gets."""

    ledger: Ledger
    background: Background
    registry: CollectorRegistry
    stop: asyncio.Event
    """Set when the process is to stop. The services then finish what they have in hand."""
