"""Translate RabbitMQ's reply texts to the errors of the port, with advice that fits the reason."""

import re

from flashsale.broker.port import (
    AccessRefused,
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    TopologyMismatch,
)

_RIGHTS = "`rabbitmqctl set_permissions -p VHOST USER CONFIGURE WRITE READ` gives it the right"
# The texts of RabbitMQ 3.10 to 4.x. The first one that is found counts.
_ADVICE = (
    (re.compile(r"limit \(\d+\).* reached"), "raise this limit of the user, the virtual host or the"
     " node, or start fewer processes"),
    (re.compile(r"vhost .* (not found|is down)"), "create or start this virtual host, or name"
     " another one at the end of the URL"),
    (re.compile(r"access to vhost .* refused"), f"the user has no rights there: {_RIGHTS}"),
    (re.compile(r"access to (exchange|queue|topic) "), f"the user lacks this right: {_RIGHTS}, and"
     " nothing has to be deleted"),
    (re.compile(r"ACCESS_REFUSED"), "check the user and the password in the URL"),
)  # fmt: skip
_REPLY = re.compile(r"""\(\d{3}\) (['"])(.*)\1""")
_OTHER_LIMIT = re.compile(r"inequivalent arg 'x-max-length'.* current is '(\d+)'")


class NotFound(BrokerRefused):
    """A queue or exchange is not there, though it was a moment ago."""


def connection_refusal(reason: str) -> BrokerUnavailable:
    """Return the error for a connection that the broker did not open."""
    # Before the connection is open, pika passes the reply on within a text of its own.
    if reply := _REPLY.search(reason):
        reason = reply[2]
    advice = _advice(reason)
    return AccessRefused(f"{reason}: {advice}") if advice else BrokerUnavailable(reason)


def declaration_refusal(name: str, reason: str) -> BrokerError:
    """Return the error for an exchange, queue or binding that the broker refused to declare."""
    advice = _advice(reason)
    if advice:
        return AccessRefused(f"{name}: {reason}: {advice}")
    if "inequivalent arg" in reason or reason.startswith("RESOURCE_LOCKED"):
        return TopologyMismatch(f"{name}: {reason}")
    if reason.startswith("NOT_FOUND"):
        return NotFound(f"{name}: {reason}")
    # Such as 406 for a limit of the virtual host, 540 for what this version can't do, or 541.
    return BrokerRefused(f"{name}: {reason}")


def other_limit(error: TopologyMismatch) -> int | None:
    """Return the limit that a queue has in place of the one that was asked for, None if other."""
    found = _OTHER_LIMIT.search(str(error))
    return int(found[1]) if found else None


def _advice(reason: str) -> str | None:
    return next((advice for text, advice in _ADVICE if text.search(reason)), None)
