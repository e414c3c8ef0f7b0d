"""Who the shoppers are, and what they may buy: bearer tokens and purchase passes."""

from dataclasses import dataclass

from aiohttp import web

from flashsale.domain.identity.claims import TokenRules
from flashsale.runtime.settings import Settings
from gateway.identity.callers import Callers
from gateway.identity.callers import caller_of as caller_of
from gateway.identity.callers import identified as identified
from gateway.identity.key_set import KeySet
from gateway.identity.passes import Passes
from gateway.identity.tokens import Tokens
from gateway.identity.verdicts import Verdicts


@dataclass(frozen=True, slots=True)
class Identity:
    """The parts that check tokens. `callers` is None if orders are believed without a token."""

    callers: Callers | None
    passes: Passes
    key_set: KeySet | None

    def customer(self, request: web.Request) -> str | None:
        """Return the customer who sends a request; None if that is not to be proved.

        Raises `Problem` without a valid token.
        """
        return None if self.callers is None else self.callers.require(request)


def create_identity(settings: Settings) -> Identity | None:
    """Return the parts that check tokens, None if the settings name no keys."""
    if not settings.checks_tokens:
        return None
    verdicts = Verdicts()
    key_set = None if settings.jwks_url is None else KeySet(settings.jwks_url, verdicts.forget)
    secret = settings.jwt_secret
    tokens = Tokens(
        settings.token_algorithms,
        None if secret is None else secret.get_secret_value().encode(),
        key_set,
    )
    rules = TokenRules(
        settings.jwt_issuer, settings.jwt_audience, casefold=settings.customer_id_casefold
    )
    callers = Callers(tokens, rules, verdicts) if settings.auth == "jwt" else None
    return Identity(callers, Passes(tokens, rules), key_set)
