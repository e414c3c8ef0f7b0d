"""Translate the features of a queue in the topology to RabbitMQ's `x-` arguments."""

from flashsale.broker.topology import Queue

Arguments = dict[str, str | int]

# -1 means "no limit" only from 4.0 on: 3.10 drops a message at its first redelivery.
_NO_DELIVERY_LIMIT = 2**31 - 1


def queue_arguments(queue: Queue) -> Arguments:
    """Return the arguments by which a queue is declared."""
    delayed = queue.delay_seconds is not None and queue.expires_to is not None
    # A classic queue moves a message without a confirm, and may lose it if the broker dies
    # (https://www.rabbitmq.com/docs/quorum-queues#dead-lettering).
    kind = "quorum" if delayed else queue.type
    arguments: Arguments = {"x-queue-type": kind}
    if queue.max_length is not None:
        # https://www.rabbitmq.com/docs/maxlength
        arguments |= {"x-max-length": queue.max_length, "x-overflow": "reject-publish"}
    if queue.spills_to is not None:
        # Unacknowledged messages do not count towards the length. A restart of the broker puts
        # them back at the head of the queue, which may then be over its limit; a classic queue
        # drops the surplus from its head in spite of its `x-overflow` (seen on 3.10.8 and 4.0.5).
        # Of both types, a policy of the broker may let messages expire.
        arguments |= _dead_letters_to(queue.spills_to)
        if kind == "quorum":
            arguments["x-dead-letter-strategy"] = "at-least-once"
    if queue.delay_seconds is not None and queue.expires_to is not None:
        arguments |= {
            "x-overflow": "reject-publish",
            "x-message-ttl": round(queue.delay_seconds * 1000),
            "x-dead-letter-strategy": "at-least-once",
            **_dead_letters_to(queue.expires_to),
        }
    if kind == "quorum":
        # By default 4.x drops a message after 20 deliveries. The services count attempts.
        arguments["x-delivery-limit"] = _NO_DELIVERY_LIMIT
    else:
        # Version 2 of classic queues (3.10 and later) confirms a third more messages a second.
        arguments["x-queue-version"] = 2
    return arguments


def subscriber_arguments(most: int) -> Arguments:
    """Return the arguments of a subscriber's queue, which keeps the latest `most` messages."""
    return {"x-max-length": most}


def _dead_letters_to(queue: str) -> Arguments:
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}
