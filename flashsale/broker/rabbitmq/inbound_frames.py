"""Parse plain deliveries and confirms from the bytes of a connection, without pika.

pika builds three frames, a method and properties for each message and dispatches them by a table
of callbacks: this is half the cost of a drain. The messages of a sale differ only in tag, id and
body. AMQP 0-9-1, sections 2.3.5 and 4.2
(https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf); a test compares the result with pika's,
for a stream in pieces of any size.
"""

import struct
from collections.abc import Callable

from flashsale.broker.rabbitmq.outbound_frames import PLAIN_PROPERTIES

OnDelivery = Callable[[int, bytes, str, bool], None]
"""Called with delivery tag, body, message id, and whether it is a redelivery."""

OnAnswer = Callable[[int, bool], None]
"""Called with delivery tag, and whether the answer includes all earlier ones (`multiple`)."""

_METHOD, _HEADER, _BODY = 1, 2, 3
_END = 0xCE
_DELIVER, _ACK, _NACK = 60 << 16 | 60, 60 << 16 | 80, 60 << 16 | 120
_FRAME_BYTES = 8  # type, channel and size before the payload, an end byte after it
_ANSWER_BYTES = 13 + _FRAME_BYTES  # of an ack, and of a nack

_method = struct.Struct(">BHII").unpack_from  # frame header, and class and method id
_tag_and_bit = struct.Struct(">QB").unpack_from
_header = struct.Struct(
    ">BHIIQHB"
).unpack_from  # frame header, class and weight, body size, property flags, delivery mode
_frame = struct.Struct(">BHI").unpack_from


def frame_end(buffer: bytes, at: int) -> int:
    """Return where the frame that begins there ends; the end of the buffer if that is unknown."""
    try:
        return at + _FRAME_BYTES + int(_frame(buffer, at)[2])
    except struct.error:
        return len(buffer)


class InboundFrames:
    """A parser of plain frames. `deliveries`, `acks` and `nacks` are its callbacks by channel."""

    def __init__(self) -> None:
        self.deliveries: dict[int, OnDelivery] = {}
        self.acks: dict[int, OnAnswer] = {}
        self.nacks: dict[int, OnAnswer] = {}
        self._answers = {_ACK: self.acks, _NACK: self.nacks}

    def take(self, buffer: bytes, at: int) -> int:
        """Parse plain frames from there on; return where the first other one begins.

        Leave every other or incomplete frame to pika. pika can parse any message, so both can take
        turns at any frame.
        """
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
                elif (answers := self._answers.get(method)) is not None and (
                    on_answer := answers.get(channel)
                ) is not None:
                    tag, bits = _tag_and_bit(buffer, at + 11)
                    if buffer[at + _ANSWER_BYTES - 1] != _END:
                        return at
                    on_answer(tag, bool(bits & 1))
                    at += _ANSWER_BYTES
                else:
                    return at
        except (struct.error, IndexError):
            return at  # the last frame is incomplete

    def _deliver(self, buffer: bytes, at: int, size: int, on_delivery: OnDelivery) -> int:
        """Parse one message; return the start of the next frame, or `at` if it is not plain."""
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
