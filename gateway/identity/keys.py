"""Public keys: read a JSON Web Key Set (RFC 7517) from an address, and find the key of a token."""

import asyncio
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey

from flashsale.domain.errors import FlashsaleError

FETCH_SECONDS = 5.0
MOST_BYTES = 256 * 1024
MOST_KEYS = 50
_LEAST_RSA_BITS = 2048  # RFC 7518, 3.3


class KeysUnavailable(FlashsaleError):
    """No keys were fetched so far, so that no token can be checked."""


class KeysUnreadable(FlashsaleError):
    """The set of keys was not fetched, or is none."""


@dataclass(frozen=True)
class Keys:
    """The usable keys of a set: those with an id by it, and all of them."""

    by_id: Mapping[str, tuple[Key, ...]]
    all: tuple[Key, ...]
    names: frozenset[str]
    """A thumbprint (RFC 7638) and the id of each key."""


class _Set(msgspec.Struct):
    keys: list[dict[str, Any]]


_decode = msgspec.json.Decoder(_Set).decode


async def fetch_keys(url: str) -> Keys:
    """Return the keys at an address. Raises `KeysUnreadable` within `FETCH_SECONDS`."""
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            session.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise KeysUnreadable(f"the address of the keys answers {answer.status}")
            body = await _body(answer)
    except TimeoutError as error:
        raise KeysUnreadable(f"no answer within {FETCH_SECONDS:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # Its text may repeat the address, with a password in it.
        raise KeysUnreadable(f"no answer: {type(error).__name__}") from error
    return read_keys(body)


def read_keys(body: bytes) -> Keys:
    """Return the keys of a set; those that can't check a signature are left out.

    An empty set is one: it says that no token counts. Raises `KeysUnreadable`.
    """
    try:
        found = _decode(body).keys
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KeysUnreadable("the answer is no JSON Web Key Set") from error
    if len(found) > MOST_KEYS:
        raise KeysUnreadable(f"the set has more than {MOST_KEYS} keys")
    usable = [key for each in found if (key := _public_key(each)) is not None]
    if found and not usable:
        raise KeysUnreadable("the set has no key that can check a signature")
    by_id: dict[str, tuple[Key, ...]] = {}
    for key in usable:
        if key.kid is not None:
            by_id[key.kid] = (*by_id.get(key.kid, ()), key)
    names = frozenset(f"{key.thumbprint()} {key.kid}" for key in usable)
    return Keys(by_id, tuple(usable), names)


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    try:
        await answer.content.readexactly(MOST_BYTES + 1)
    except asyncio.IncompleteReadError as error:
        return error.partial
    raise KeysUnreadable(f"the set of keys has more than {MOST_BYTES} bytes")


def _public_key(given: dict[str, Any]) -> Key | None:
    """Return the key, None if it is of another kind, for another use, or too weak."""
    # A secret that is published is none, so that one in the set signs nothing.
    if given.get("kty") not in ("RSA", "EC", "OKP") or given.get("use", "sig") != "sig":
        return None
    try:
        with warnings.catch_warnings(action="ignore"):
            key = JWKRegistry.import_key(given)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAKey) and key.public_key.key_size < _LEAST_RSA_BITS:
        return None
    return key if isinstance(key, RSAKey | ECKey | OKPKey) else None
