"""Check the signature of a token (RFC 7515) by the one kind of key that its algorithm is for."""

import hmac
import re
from base64 import urlsafe_b64decode
from collections.abc import Collection
from functools import lru_cache
from typing import Any, Protocol

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry
from msgspec import UNSET

from flashsale.domain.identity.claims import Claims, TokenRefused
from gateway.identity.key_set import KeySet

LONGEST_TOKEN = 8_000
"""In bytes. The header of a request that has one may be hardly longer."""

_HMAC_DIGESTS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}

_COMPACT = re.compile(r"(([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+))\.([A-Za-z0-9_-]+)\Z")


class _Algorithm(Protocol):
    """An algorithm of joserfc."""

    def check_key(self, key: Any, /) -> None: ...

    def verify(self, msg: bytes, sig: bytes, key: Any) -> bool: ...


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str | None = None
    crit: Any = UNSET


_decode_claims = msgspec.json.Decoder(Claims).decode
_decode_header = msgspec.json.Decoder(_Header).decode


class Tokens:
    """Checks signatures: HS... by the secret only, all others by the set of public keys only."""

    def __init__(
        self, algorithms: Collection[str], secret: bytes | None, key_set: KeySet | None
    ) -> None:
        # Which algorithms count is decided by the settings, never by a token.
        self._algorithms = {name: JWSRegistry.algorithms[name] for name in algorithms}
        self._secret = secret
        self._key_set = key_set

    async def claims(self, token: str) -> Claims:
        """Return what a token claims whose signature is right.

        Raises `TokenRefused`, and `KeysUnavailable` if there is nothing to check it by.
        """
        if len(token) > LONGEST_TOKEN:
            raise TokenRefused(f"the token has more than {LONGEST_TOKEN} bytes")
        parts = _COMPACT.match(token)
        if parts is None:
            raise TokenRefused("the token is no signed JSON Web Token")
        signed, head, payload, signature = parts.groups()
        header = _read_header(head)
        algorithm = self._algorithms.get(header.alg)
        if algorithm is None:
            raise TokenRefused("the algorithm of the token does not count here")
        # The steps of RFC 7515, 5.2. `joserfc.jws` takes three times as long for them, as it reads
        # the header again, and makes a new HMAC object for each token.
        try:
            if digest := _HMAC_DIGESTS.get(header.alg):
                assert self._secret is not None  # noqa: S101 the settings require it
                computed = hmac.digest(self._secret, signed.encode(), digest)
                right = hmac.compare_digest(computed, _unpacked(signature))
            else:
                key = await self._public_key(header, algorithm)
                right = algorithm.verify(signed.encode(), _unpacked(signature), key)
        except (JoseError, ValueError, TypeError) as error:
            raise TokenRefused("the signature of the token is wrong") from error
        if not right:
            raise TokenRefused("the signature of the token is wrong")
        try:
            return _decode_claims(_unpacked(payload))
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            raise TokenRefused("the claims of the token can't be read") from error

    async def _public_key(self, header: _Header, algorithm: _Algorithm) -> Key:
        assert self._key_set is not None  # noqa: S101
        keys = await self._key_set.keys_for(header.kid)
        named = keys.all if header.kid is None else keys.by_id.get(header.kid, ())
        fitting = [key for key in named if _fits(key, algorithm)]
        if len(fitting) == 1:
            return fitting[0]
        if header.kid is None and fitting:
            raise TokenRefused("the token names no key: kid is missing")
        raise TokenRefused("the key of the token is not known")


@lru_cache(maxsize=64)  # a shop signs all tokens with the same header
def _read_header(packed: str) -> _Header:
    """Return a header, whose signature is not checked yet. Raises `TokenRefused`."""
    try:
        header = _decode_header(_unpacked(packed))
    except (ValueError, RecursionError) as error:
        raise TokenRefused("the header of the token can't be read") from error
    if header.crit is not UNSET:
        # Nothing is understood that a header may call critical (RFC 7515, 4.1.11).
        raise TokenRefused("the token has a critical header that is not understood")
    return header


def _fits(key: Key, algorithm: _Algorithm) -> bool:
    try:
        algorithm.check_key(key)
    except JoseError:
        return False
    return True


def _unpacked(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
