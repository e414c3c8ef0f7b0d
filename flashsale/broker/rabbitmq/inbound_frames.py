"""Plain deliveries and confirms, read straight from the bytes of a connection.

pika makes three frames, a method and properties of a message and hands them through a table of
callbacks: half of what a drain costs. Messages of a sale differ in their tag, id and body alone.
AMQP 0-9-1, sections 2.3.5 and 4.2 (https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf); a test
compares with pika's own reading, however the stream is cut.
"""

import struct
from collections.abc import Callable

from flashsale.broker.rabbitmq.outbound_frames import PLAIN_PROPERTIES

OnDelivery = Callable[[int, bytes, str, bool], None]
"""Gets delivery tag, body, message id, and whether it was delivered before."""

OnAck = Callable[[int, bool], None]
"""Gets delivery tag, and whether all before it are meant as well."""

_METHOD, _HEADER, _BODY = 1, 2, 3
_END = 0xCE
_DELIVER, _ACK = 60 << 16 | 60, 60 << 16 | 80
_FRAME_BYTES = 8  # type, channel and size before, an end after
_ACK_BYTES = 13 + _FRAME_BYTES

_method = struct.Struct(">BHII").unpack_from  # a frame's start, and which method it is
_tag_and_bit = struct.Struct(">QB").unpack_from
_header = struct.Struct(
    ">BHIIQHB"
).unpack_from  # a frame's start, class and weight, size, flags, mode
_frame = struct.Struct(">BHI").unpack_from


class Inbound:
    """What may be read without pika: by channel, who gets it."""

    def __init__(self) -> None:
        self.deliveries: dict[int, OnDelivery] = {}
        self.acks: dict[int, OnAck] = {}

    def take(self, buffer: bytes) -> int:
        """Hand on what stands at the beginning of the buffer; how many bytes of it that was.

        All that is not plain, or not there as a whole, is left for pika, which does the same with
        any message at any time.
        """
        at = 0
        try:
            while True:
                kind, channel, size, method = _method(buffer, at)
                if kind != _METHOD:
                    return at
                if method == _DELIVER and channel in self.deliveries:
                    after = self._deliver(buffer, at, size, self.deliveries[channel])
                    if after == at:
                        return at
                    at = after
                elif method == _ACK and channel in self.acks:
                    tag, multiple = _tag_and_bit(buffer, at + 11)
                    if buffer[at + _ACK_BYTES - 1] != _END:
                        return at
                    self.acks[channel](tag, bool(multiple & 1))
                    at += _ACK_BYTES
                else:
                    return at
        except (struct.error, IndexError):
            return at  # the rest is on its way

    def _deliver(self, buffer: bytes, at: int, size: int, on_delivery: OnDelivery) -> int:
        """Hand one message on; where the next frame begins, or `at` if it is not plain."""
        tag, redelivered = _tag_and_bit(buffer, at + 12 + buffer[at + 11])
        header = at + _FRAME_BYTES + size
        kind, _, header_size, _, body_size, *properties = _header(buffer, header)
        if kind != _HEADER or tuple(properties) != PLAIN_PROPERTIES:
            return at
        body: int = header + _FRAME_BYTES + header_size
        kind, _, fragment = _frame(buffer, body)
        after: int = body + _FRAME_BYTES + fragment
        if kind != _BODY or fragment != body_size or buffer[after - 1] != _END:
            return at
        message_id = buffer[header + 23 : body - 1].decode()
        on_delivery(tag, buffer[body + 7 : after - 1], message_id, bool(redelivered & 1))
        return after
