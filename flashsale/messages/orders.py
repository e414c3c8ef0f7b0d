"""Encode and decode the orders in the queue, as MessagePack."""

import msgspec

from flashsale.domain.orders import Order
from flashsale.messages.codec import decoder

encode_order = msgspec.msgpack.Encoder().encode
decode_order = decoder(msgspec.msgpack.Decoder(Order))
