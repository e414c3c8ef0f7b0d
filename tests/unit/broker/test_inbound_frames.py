"""Frames parsed without pika equal those parsed by pika, for any mixture and any cuts."""

import itertools
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties, frame, spec
from pika.channel import ContentFrameAssembler

from flashsale.broker.rabbitmq.connection import PikaConnection
from flashsale.broker.rabbitmq.outbound_frames import message_frames

CHANNEL = 3

Message = tuple[int, bytes, str, bool]


class Stream(PikaConnection):
    """A connection that gets bytes from the test, and records what it reads, in order."""

    def __init__(self) -> None:
        from flashsale.broker.rabbitmq.inbound_frames import InboundFrames

        self.inbound_frames = InboundFrames()
        self._frame_buffer = b""
        self.bytes_received = 0
        self.seen: list[object] = []
        self.without_pika = 0
        self._assembler = ContentFrameAssembler()
        self.inbound_frames.deliveries[CHANNEL] = self._plain
        self.inbound_frames.acks[CHANNEL] = partial(self._answer, "ack")
        self.inbound_frames.nacks[CHANNEL] = partial(self._answer, "nack")

    def _plain(self, *message: Any) -> None:
        self.without_pika += 1
        self.seen.append(message)

    def _answer(self, kind: str, tag: int, multiple: bool) -> None:
        self.without_pika += 1
        self.seen.append((kind, tag, multiple))

    def _process_frame(self, value: Any) -> None:
        """Record a frame, in short as pika does it."""
        if isinstance(value, frame.Heartbeat):
            self.seen.append("heartbeat")
        elif isinstance(value, frame.Method) and isinstance(
            value.method, spec.Basic.Ack | spec.Basic.Nack
        ):
            kind = "ack" if isinstance(value.method, spec.Basic.Ack) else "nack"
            self.seen.append((kind, value.method.delivery_tag, value.method.multiple))
        elif (whole := self._assembler.process(value)) is not None:
            method, header, body = whole
            deliver: Any = method.method
            properties: Any = header.properties
            self.seen.append(
                (deliver.delivery_tag, body, properties.message_id or "", deliver.redelivered)
            )


def delivered(message: Message, properties: Any, pieces: int = 1) -> bytes:
    tag, body, _, redelivered = message
    deliver = spec.Basic.Deliver("ctag1.x", tag, redelivered, "sale.orders", "order")
    cut = max(1, len(body) // pieces)
    return b"".join(
        part.marshal()
        for part in (
            frame.Method(CHANNEL, deliver),
            frame.Header(CHANNEL, len(body), properties),
            *(frame.Body(CHANNEL, body[at : at + cut]) for at in range(0, len(body), cut)),
        )
    )


ids = st.text("0123456789abcdef\u00e9", max_size=40)
messages = st.tuples(st.integers(1, 2**40), st.binary(max_size=300), ids, st.booleans())


def plain(message: Message) -> tuple[object, bytes]:
    properties = BasicProperties(message_id=message[2], delivery_mode=2)
    return message, delivered(message, properties)


def with_headers(message: Message) -> tuple[object, bytes]:
    properties = BasicProperties(message_id=message[2], delivery_mode=2, headers={"replayed": 1})
    return message, delivered(message, properties)


def transient(message: Message) -> tuple[object, bytes]:
    properties = BasicProperties(message_id=message[2], delivery_mode=1)
    return message, delivered(message, properties)


def without_an_id(message: Message) -> tuple[object, bytes]:
    tag, body, _, redelivered = message
    return (tag, body, "", redelivered), delivered(message, BasicProperties())


def in_pieces(message: Message) -> tuple[object, bytes]:
    properties = BasicProperties(message_id=message[2], delivery_mode=2)
    return message, delivered(message, properties, pieces=3)


def answer(kind: str, tag: int, multiple: bool) -> tuple[object, bytes]:
    method = spec.Basic.Ack(tag, multiple) if kind == "ack" else spec.Basic.Nack(tag, multiple)
    return (kind, tag, multiple), frame.Method(CHANNEL, method).marshal()


def heartbeat(_: object) -> tuple[object, bytes]:
    return "heartbeat", frame.Heartbeat().marshal()


parts = st.one_of(
    *(messages.map(kind) for kind in (plain, with_headers, transient, without_an_id, in_pieces)),
    st.builds(answer, st.sampled_from(["ack", "nack"]), st.integers(1, 2**40), st.booleans()),
    st.none().map(heartbeat),
)


@given(st.lists(parts, max_size=12), st.lists(st.integers(0, 4000), max_size=12))
def test_inbound_frames_are_read_as_pika_reads_them(
    stream: list[tuple[object, bytes]], cuts: list[int]
) -> None:
    sent = b"".join(data for _, data in stream)
    read = Stream()
    places = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    for start, end in itertools.pairwise(places):
        read._on_data_available(sent[start:end])
    assert read.seen == [meant for meant, _ in stream]
    assert read.bytes_received == len(sent)
    assert read._frame_buffer == b""


def test_plain_messages_are_read_without_pika() -> None:
    read = Stream()
    expected = [plain((tag, b"order" * tag, f"m-{tag}", False)) for tag in range(1, 50)]
    expected += [answer("ack", 7, True), answer("nack", 9, False)]
    read._on_data_available(b"".join(data for _, data in expected))
    assert read.seen == [meant for meant, _ in expected]
    assert read.without_pika == 51


def test_frames_of_an_unregistered_channel_are_left_to_pika() -> None:
    read = Stream()
    read.inbound_frames.deliveries.clear()
    meant, data = plain((1, b"x", "m", True))
    read._on_data_available(data)
    assert (read.seen, read.without_pika) == ([meant], 0)


def test_outbound_frames_are_read_as_plain_messages() -> None:
    """The broker delivers a message with the properties it was published with."""
    ours = message_frames(CHANNEL, "sale.orders", "order", "m-1", b"body", True)
    deliver = spec.Basic.Deliver("c", 9, False, "sale.orders", "order")
    publish_bytes = len(
        frame.Method(CHANNEL, spec.Basic.Publish(0, "sale.orders", "order", True)).marshal()
    )
    read = Stream()
    read._on_data_available(frame.Method(CHANNEL, deliver).marshal() + ours[publish_bytes:])
    assert (read.seen, read.without_pika) == ([(9, b"body", "m-1", False)], 1)
