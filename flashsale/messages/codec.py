"""Decode messages: one decoder and one error for all kinds of message."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from flashsale.domain.errors import FlashsaleError

T = TypeVar("T", covariant=True)


class MessageError(FlashsaleError):
    """A message is malformed, or of another kind than its queue or exchange holds."""


class Decoder(Protocol[T]):
    """A msgspec decoder of any format."""

    def decode(self, body: bytes, /) -> T:
        """Decode a body."""


def decoder(of: Decoder[T]) -> Callable[[bytes], T]:
    """Return a function that decodes a body and raises `MessageError` if it can't."""
    decode = of.decode

    def decode_message(body: bytes) -> T:
        try:
            return decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MessageError(str(error)) from error

    return decode_message
