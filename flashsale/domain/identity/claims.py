"""What the claims of a token must say (RFC 7519): who a shopper is, and what a pass is for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from flashsale.domain.customers import LONGEST_ID, normal_customer_id
from flashsale.domain.errors import FlashsaleError
from flashsale.domain.identity.purchase_pass import LEEWAY_SECONDS, PurchasePass, expired
from flashsale.domain.orders import CUSTOMER_ID_PATTERN, SKU_PATTERN

_SKU = re.compile(SKU_PATTERN)
_CUSTOMER_ID = re.compile(CUSTOMER_ID_PATTERN)

LONGEST_JTI = 255

TokenFault = Literal["invalid_request", "invalid_token"]
"""The codes of RFC 6750, section 3.1."""


class TokenRefused(FlashsaleError):
    """A token does not count. The reason holds nothing that the token says."""

    def __init__(self, reason: str, fault: TokenFault = "invalid_token") -> None:
        super().__init__(reason)
        self.reason = reason
        self.fault = fault


class Claims(msgspec.Struct, frozen=True):
    """The claims that count; others are ignored. Times are Unix seconds."""

    iss: str | None = None
    sub: str | None = None
    aud: str | list[str] | None = None
    exp: float | None = None
    nbf: float | None = None
    jti: str | None = None
    max_quantity: int | None = None

    @property
    def audiences(self) -> Sequence[str]:
        """For whom the token is."""
        if self.aud is None:
            return ()
        return (self.aud,) if isinstance(self.aud, str) else self.aud


@dataclass(frozen=True)
class TokenRules:
    """What every token must fit. The issuer and the audience count if they are set.

    With `casefold` customers that differ only in case are one.
    """

    issuer: str | None = None
    audience: str | None = None
    casefold: bool = False

    def customer(self, claims: Claims, now: float) -> str:
        """Return the customer whose token this is, in the normal form. Raises `TokenRefused`."""
        self._require_issuer(claims)
        # A token for somebody else proves nothing here (RFC 7519, 4.1.3), such as a pass.
        if self.audience is not None and self.audience not in claims.audiences:
            raise TokenRefused("the token is for another audience")
        if self.audience is None and claims.audiences:
            raise TokenRefused("the token is for an audience, and none is configured here")
        _require_begun(claims, now)
        if expired(_expiry(claims), now):
            raise TokenRefused("the token has expired")
        if claims.sub is None:
            raise TokenRefused("the token names no customer: sub is missing")
        return self._customer(claims.sub)

    def purchase_pass(self, claims: Claims, now: float) -> PurchasePass:
        """Return the pass that the claims are, an expired one too. Raises `TokenRefused`."""
        self._require_issuer(claims)
        # The one audience is the sku, so that no token of a shopper is a pass.
        if len(claims.audiences) != 1 or not _SKU.match(claims.audiences[0]):
            raise TokenRefused("the aud of a pass must be one sku")
        _require_begun(claims, now)
        if not claims.jti or len(claims.jti) > LONGEST_JTI or not _is_text(claims.jti):
            raise TokenRefused(f"the jti of a pass must be 1 to {LONGEST_JTI} characters")
        if claims.max_quantity is not None and claims.max_quantity < 1:
            raise TokenRefused("the max_quantity of a pass must be 1 or more")
        return PurchasePass(
            claims.audiences[0],
            claims.jti,
            expires_at=_expiry(claims),
            customer_id=None if claims.sub is None else self._customer(claims.sub),
            max_quantity=claims.max_quantity,
        )

    def _require_issuer(self, claims: Claims) -> None:
        if self.issuer is not None and claims.iss != self.issuer:
            raise TokenRefused("the token is of another issuer")

    def _customer(self, sub: str) -> str:
        customer_id = normal_customer_id(sub, casefold=self.casefold)
        if 0 < len(customer_id) <= LONGEST_ID and _CUSTOMER_ID.match(customer_id):
            return customer_id
        raise TokenRefused("the sub of the token can't be a customer id")


def _expiry(claims: Claims) -> float:
    if claims.exp is None:
        raise TokenRefused("the token never expires: exp is missing")
    return claims.exp


def _require_begun(claims: Claims, now: float) -> None:
    if claims.nbf is not None and claims.nbf > now + LEEWAY_SECONDS:
        raise TokenRefused("the token is not valid yet")


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
