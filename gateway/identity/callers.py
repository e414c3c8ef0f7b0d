"""Who sends a request: the customer whose bearer token (RFC 6750) comes with it."""

import time
from collections.abc import Sequence

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from flashsale.domain.identity.claims import TokenRefused, TokenRules
from flashsale.domain.identity.purchase_pass import LEEWAY_SECONDS
from gateway.http.problems import Problem
from gateway.http.request_log import route_of
from gateway.identity.keys import KeysUnavailable
from gateway.identity.tokens import Tokens
from gateway.identity.verdicts import Verdicts

_CALLER: web.RequestKey[str | Problem] = web.RequestKey("caller", object)  # type: ignore[arg-type]
# Operators have tokens of their own.
_FOR_SHOPPERS = ("/orders", "/sales")


def caller_of(request: web.Request) -> str | None:
    """Return the customer whose valid token came with the request, None if none did.

    It is known once the middleware `identified` has run.
    """
    try:
        caller = request[_CALLER]
    except KeyError:
        return None
    return caller if isinstance(caller, str) else None


class Callers:
    """Finds out who sends a request; a token is checked once, and then remembered for a while."""

    def __init__(self, tokens: Tokens, rules: TokenRules, verdicts: Verdicts) -> None:
        self._tokens = tokens
        self._rules = rules
        self._verdicts = verdicts

    def recall(self, request: web.Request) -> str | None:
        """Note and return the caller of a request, if its token was checked lately."""
        given = request.headers.getall(hdrs.AUTHORIZATION, ())
        if len(given) != 1:
            return None
        customer_id = self._verdicts.find(given[0], time.monotonic())
        if customer_id is not None:
            request[_CALLER] = customer_id
        return customer_id

    async def identify(self, request: web.Request) -> None:
        """Note the caller of a request, or why there is none. Ask `recall` first."""
        given: Sequence[str] = request.headers.getall(hdrs.AUTHORIZATION, ())
        try:
            request[_CALLER] = await self._checked(_bearer_token(given), given[0])
        except TokenRefused as refused:
            request[_CALLER] = _unauthorized(refused)
        except KeysUnavailable:
            request[_CALLER] = keys_unavailable()

    def require(self, request: web.Request) -> str:
        """Return the customer who sends the request. Raises `Problem` unless a valid token came."""
        caller = request[_CALLER]
        if isinstance(caller, Problem):
            raise caller
        return caller

    async def _checked(self, token: str, credentials: str) -> str:
        begun = time.monotonic()
        claims = await self._tokens.claims(token)
        at = time.time()
        customer_id = self._rules.customer(claims, at)
        assert claims.exp is not None  # noqa: S101 the rules have just checked it
        seconds = claims.exp + LEEWAY_SECONDS - at
        self._verdicts.keep(credentials, customer_id, begun, seconds)
        return customer_id


def _bearer_token(given: Sequence[str]) -> str:
    """Return the one bearer token. Raises `TokenRefused`."""
    if not given:
        raise _NoToken
    if len(given) > 1:
        raise TokenRefused("send one Authorization header", "invalid_request")
    scheme, _, token = given[0].partition(" ")
    if scheme != "Bearer" and scheme.lower() != "bearer":
        raise _NoToken
    return token.strip()


class _NoToken(TokenRefused):
    def __init__(self) -> None:
        super().__init__("send a bearer token")


def is_for_shoppers(route: str) -> bool:
    """Return whether a route is for shoppers, who have tokens."""
    return route.startswith(_FOR_SHOPPERS)


def identified(callers: Callers) -> Middleware:
    """Find out who sends each request that is for shoppers."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_for_shoppers(route_of(request)) and callers.recall(request) is None:
            await callers.identify(request)
        return await handler(request)

    return middleware


def keys_unavailable() -> Problem:
    """Return the problem for a token that can't be checked now."""
    return Problem("keys-unavailable", "Tokens can't be checked now. Come back.", retry_after=2)


def _unauthorized(refused: TokenRefused) -> Problem:
    if isinstance(refused, _NoToken):
        # Without a token no error is named (RFC 6750, 3.1).
        return Problem(
            "token-required",
            "Send the token of the shopper as a bearer token.",
            headers={"WWW-Authenticate": 'Bearer realm="flashsale"'},
        )
    challenge = (
        f'Bearer error="{refused.fault}", error_description="{refused.reason}", realm="flashsale"'
    )
    detail = f"{refused.reason[0].upper()}{refused.reason[1:]}."
    return Problem("invalid-token", detail, headers={"WWW-Authenticate": challenge})
