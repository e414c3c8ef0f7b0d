"""Sign and verify messages by Standard Webhooks, so that a receiver knows who sent them.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import binascii
import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence

from flashsale.domain.errors import FlashsaleError

SECRET_PREFIX = "whsec_"  # noqa: S105 it is what secrets begin with
SHORTEST_SECRET_BYTES, LONGEST_SECRET_BYTES = 24, 64
TOLERANCE_SECONDS = 300
"""A message that was signed longer ago, or so far ahead, is refused: it may be sent again."""

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"
_VERSION = "v1"


class SecretError(FlashsaleError, ValueError):
    """A secret can't be used. The message says why, without the secret."""


class SignatureRefused(FlashsaleError):
    """A message is not from somebody who knows the secret, or it is too old."""


def new_secret() -> str:
    """Return a random secret `whsec_...` of 32 bytes."""
    return SECRET_PREFIX + b64encode(os.urandom(32)).decode()


def parse_secret(text: str) -> bytes:
    """Return the key of a secret `whsec_...`, which is in base64. Raises `SecretError`."""
    if not text.startswith(SECRET_PREFIX):
        raise SecretError(f"a secret begins with {SECRET_PREFIX}")
    try:
        key = b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SecretError(f"what follows {SECRET_PREFIX} is not base64") from error
    if not SHORTEST_SECRET_BYTES <= len(key) <= LONGEST_SECRET_BYTES:
        raise SecretError(
            f"a secret has {SHORTEST_SECRET_BYTES} to {LONGEST_SECRET_BYTES} bytes,"
            f" this one {len(key)}"
        )
    return key


def signed_headers(
    keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """Return the three headers of a message that is sent at `timestamp`, in whole Unix seconds.

    Each key makes a signature of its own. A receiver takes the message if it knows one of them.
    """
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    signatures = " ".join(f"{_VERSION},{_signature(key, signed)}" for key in keys)
    return {ID: message_id, TIMESTAMP: str(timestamp), SIGNATURE: signatures}


def verify(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float) -> str:
    """Return the id of a message that was signed with one of the keys.

    `headers` finds the headers in lower case; `now` is in Unix seconds. Raises `SignatureRefused`.
    """
    require_headers(headers)
    message_id, stamp, given = headers[ID], headers[TIMESTAMP], headers[SIGNATURE]
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise SignatureRefused(f"{TIMESTAMP} is not in whole Unix seconds")
    if abs(now - int(stamp)) > TOLERANCE_SECONDS:
        raise SignatureRefused(f"{TIMESTAMP} is more than {TOLERANCE_SECONDS} s away from now")
    signed = b"%s.%s.%s" % (message_id.encode(errors="replace"), stamp.encode(), body)
    expected = [_signature(key, signed).encode() for key in keys]
    for each in given.split(" "):
        version, _, signature = each.partition(",")
        if version != _VERSION:
            continue
        found = signature.encode(errors="replace")
        if any([hmac.compare_digest(found, right) for right in expected]):
            return message_id
    raise SignatureRefused("no signature is by a secret that counts here")


def require_headers(headers: Mapping[str, str]) -> None:
    """Raise `SignatureRefused` unless each header is there that a signed message has."""
    for name in (ID, TIMESTAMP, SIGNATURE):
        if name not in headers:
            raise SignatureRefused(f"the header {name} is missing")


def _signature(key: bytes, signed: bytes) -> str:
    return b64encode(hmac.digest(key, signed, "sha256")).decode()
