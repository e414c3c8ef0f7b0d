"""The rules of holds: expiry, the waiting list, payments, cancellations. They read no clock."""

GRACE_SECONDS = 30.0
"""How long a hold is kept after its end, for a payment that is on its way.

Shoppers never see it: they are told the end of the hold.
"""
