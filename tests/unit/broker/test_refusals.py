"""RabbitMQ's reply texts become errors whose advice fits the reason."""

import pytest

from flashsale.broker import (
    AccessRefused,
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    TopologyMismatch,
)
from flashsale.broker.rabbitmq.refusals import (
    NotFound,
    connection_refusal,
    declaration_refusal,
    other_limit,
)

LIMIT = (
    "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'sale.orders' in vhost '/':"
    " received '3000' but current is '2000'"
)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (LIMIT, TopologyMismatch),
        ("PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x'", TopologyMismatch),
        ("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'x'", TopologyMismatch),
        ("PRECONDITION_FAILED - cannot declare queue 'x': queue limit in vhost '/' (2) is reached",
         BrokerRefused),
        ("PRECONDITION_FAILED - invalid arg 'x-queue-version' for queue 'x'", BrokerRefused),
        ("NOT_FOUND - no exchange 'x' in vhost '/'", NotFound),
        ("INTERNAL_ERROR", BrokerRefused),
        ("ACCESS_REFUSED - configure access to queue 'x' in vhost '/' refused for user 'shop'",
         AccessRefused),
        ("ACCESS_REFUSED - access to queue 'x' in vhost '/' refused for user 'shop'",
         AccessRefused),  # 3.10
    ],
)  # fmt: skip
def test_a_refused_declaration_has_a_kind(reason: str, kind: type[BrokerError]) -> None:
    error = declaration_refusal("queue x", reason)
    assert type(error) is kind
    assert str(error).startswith(f"queue x: {reason}")


@pytest.mark.parametrize(
    ("reason", "advised"),
    [
        ("ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.", "password"),
        ("NOT_ALLOWED - vhost shop not found", "create or start this virtual host"),
        ("NOT_ALLOWED - access to vhost '/' refused for user 'shop'", "set_permissions"),
        ("NOT_ALLOWED - access to vhost 'x' refused for user 'y': connection limit (2) is reached",
         "raise this limit"),
    ],
)  # fmt: skip
def test_a_refused_user_gets_advice(reason: str, advised: str) -> None:
    error = connection_refusal(reason)
    assert isinstance(error, AccessRefused)
    assert advised in str(error)
    assert ("set_permissions" in str(error)) is (advised == "set_permissions")


@pytest.mark.parametrize("quote", ["'", '"'])
def test_the_reply_is_found_in_the_text_of_pika(quote: str) -> None:
    reply = "NOT_ALLOWED - vhost shop not found"
    error = connection_refusal(f"ConnectionClosedByBroker: (530) {quote}{reply}{quote}")
    assert str(error).startswith(reply)


def test_a_broker_that_does_not_answer_refuses_nobody() -> None:
    assert type(connection_refusal("Connection refused")) is BrokerUnavailable


def test_another_limit_is_read_from_the_text_of_the_broker() -> None:
    assert other_limit(TopologyMismatch(LIMIT)) == 2000
    assert other_limit(TopologyMismatch(LIMIT.replace("max-length", "max-priority"))) is None
    assert other_limit(TopologyMismatch(LIMIT.replace("'2000'", "none"))) is None
