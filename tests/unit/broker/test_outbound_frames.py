"""Frames encoded without pika equal pika's."""

from typing import Any

import pytest
from pika import BasicProperties, DeliveryMode, frame, spec

from flashsale.broker.rabbitmq.outbound_frames import message_frames


@pytest.mark.parametrize("mandatory", [True, False])
@pytest.mark.parametrize("body", [b"x", b"order" * 200])
def test_outbound_frames_equal_pikas_byte_for_byte(body: bytes, mandatory: bool) -> None:
    properties: Any = BasicProperties(message_id="m-1", delivery_mode=DeliveryMode.Persistent)
    pikas = b"".join(
        part.marshal()
        for part in (
            frame.Method(
                3, spec.Basic.Publish(exchange="sale", routing_key="order", mandatory=mandatory)
            ),
            frame.Header(3, len(body), properties),
            frame.Body(3, body),
        )
    )
    assert message_frames(3, "sale", "order", "m-1", body, mandatory) == pikas
