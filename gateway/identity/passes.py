"""The purchase pass of an order: a token in the header `Purchase-Pass`, signed by the shop."""

import time

from aiohttp import web
from multidict import istr

from flashsale.domain.identity.claims import TokenRefused, TokenRules
from flashsale.domain.identity.purchase_pass import PurchasePass
from gateway.http.problems import Problem
from gateway.identity.callers import keys_unavailable
from gateway.identity.keys import KeysUnavailable
from gateway.identity.tokens import Tokens

PURCHASE_PASS = istr("Purchase-Pass")


class Passes:
    """Checks passes. Nothing is remembered: the id of the order follows from the pass."""

    def __init__(self, tokens: Tokens, rules: TokenRules) -> None:
        self._tokens = tokens
        self._rules = rules

    async def given(self, request: web.Request) -> PurchasePass | None:
        """Return the pass that came with a request, an expired one too; None without one.

        Raises `Problem` if it is forged, not valid yet, or no pass.
        """
        values = request.headers.getall(PURCHASE_PASS, ())
        if not values:
            return None
        if len(values) > 1:
            raise Problem("invalid-pass", f"Send one {PURCHASE_PASS}.")
        try:
            claims = await self._tokens.claims(values[0].strip())
            return self._rules.purchase_pass(claims, time.time())
        except TokenRefused as refused:
            reason = refused.reason.replace("the token", "the pass")
            raise Problem("invalid-pass", f"{reason[0].upper()}{reason[1:]}.") from refused
        except KeysUnavailable as error:
            raise keys_unavailable() from error
