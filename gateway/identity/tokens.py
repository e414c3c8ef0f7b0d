"""Check the signature of a token (RFC 7515) by the one kind of key that its algorithm is for."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Collection
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import Key, OctKey
from msgspec import UNSET

from flashsale.domain.identity.claims import Claims, TokenRefused
from flashsale.runtime.token_settings import SECRET_BYTES
from gateway.identity.key_set import KeySet

LONGEST_TOKEN = 8_000
"""In bytes. The header of a request that has one may be hardly longer."""

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")


class _Header(msgspec.Struct):
    alg: str
    kid: str | None = None
    crit: Any = UNSET


_decode_claims = msgspec.json.Decoder(Claims).decode
_decode_header = msgspec.json.Decoder(_Header).decode


class _Pinned(jws.JWSRegistry):
    """The algorithms that count. Which ones these are is decided by the settings only."""

    max_header_length = LONGEST_TOKEN

    def __init__(self, algorithms: Collection[str]) -> None:
        # Headers that are not known mean nothing, unless they are critical.
        super().__init__(algorithms=algorithms, strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        """Return an algorithm. Raises `UnsupportedAlgorithmError` unless it counts."""
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


class Tokens:
    """Checks signatures: HS... by the secret only, all others by the set of public keys only."""

    def __init__(
        self, algorithms: Collection[str], secret: bytes | None, key_set: KeySet | None
    ) -> None:
        self._registry = _Pinned(algorithms)
        self._algorithms = frozenset(algorithms)
        self._secret = None if secret is None else OctKey.import_key(secret)
        self._key_set = key_set

    async def claims(self, token: str) -> Claims:
        """Return what a token claims whose signature is right.

        Raises `TokenRefused`, and `KeysUnavailable` if there is nothing to check it by.
        """
        header = _header(token)
        key = await self._key(header)
        try:
            signed = jws.deserialize_compact(token, key, registry=self._registry)
        except (JoseError, ValueError, TypeError) as error:
            raise TokenRefused("the signature of the token is wrong") from error
        try:
            return _decode_claims(signed.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise TokenRefused("the claims of the token can't be read") from error

    async def _key(self, header: _Header) -> Key:
        if header.alg not in self._algorithms:
            raise TokenRefused("the algorithm of the token does not count here")
        if header.alg in SECRET_BYTES:
            if self._secret is None:
                raise TokenRefused("the algorithm of the token does not count here")
            return self._secret
        if self._key_set is None:
            raise TokenRefused("the algorithm of the token does not count here")
        keys = await self._key_set.keys_for(header.kid)
        named = keys.all if header.kid is None else keys.by_id.get(header.kid, ())
        fitting = [key for key in named if self._fits(key, header.alg)]
        if len(fitting) == 1:
            return fitting[0]
        if header.kid is None and fitting:
            raise TokenRefused("the token names no key: kid is missing")
        raise TokenRefused("the key of the token is not known")

    def _fits(self, key: Key, algorithm: str) -> bool:
        try:
            self._registry.get_alg(algorithm).check_key(key)
        except JoseError:
            return False
        return True


def _header(token: str) -> _Header:
    """Return the header of a token, whose signature is not checked yet. Raises `TokenRefused`."""
    if len(token) > LONGEST_TOKEN:
        raise TokenRefused(f"the token has more than {LONGEST_TOKEN} bytes")
    parts = _COMPACT.match(token)
    if parts is None:
        raise TokenRefused("the token is no signed JSON Web Token")
    try:
        header = _decode_header(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise TokenRefused("the header of the token can't be read") from error
    if header.crit is not UNSET:
        # Nothing is understood that a header may call critical (RFC 7515, 4.1.11).
        raise TokenRefused("the token has a critical header that is not understood")
    return header
