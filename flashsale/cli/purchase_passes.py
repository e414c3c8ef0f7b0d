"""`flashsale pass`: make purchase passes, as a shop's server does."""

import json
import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from flashsale.domain.customers import normal_customer_id
from flashsale.domain.orders import SKU_PATTERN
from flashsale.runtime.process import fail, settings_or_fail

_MOST = 1_000_000


def make_passes(
    sku: Annotated[str, typer.Argument(help="The item for sale, such as tv-55.")],
    count: Annotated[int, typer.Option(min=1, max=_MOST, help="How many passes.")] = 1,
    customer: Annotated[
        str | None, typer.Option(help="The only customer who may use them. Default: anyone.")
    ] = None,
    max_quantity: Annotated[
        int | None, typer.Option(min=1, max=1_000, help="Most items of the order.")
    ] = None,
    expires_in: Annotated[
        int, typer.Option(min=1, help="Seconds for which they are valid.", metavar="SECONDS")
    ] = 3_600,
    key: Annotated[
        Path | None,
        typer.Option(
            help="A private key, as a JWK or in PEM, to sign by. Default: FLASHSALE_JWT_SECRET.",
            metavar="FILE",
        ),
    ] = None,
    kid: Annotated[
        str | None, typer.Option(help="The id of the key in the key set, if FILE has none.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make purchase passes for tests, one a line. A shop's server makes its own."""
    if not re.match(SKU_PATTERN, sku):
        fail(f"{sku!r}: not a sku")
    settings = settings_or_fail()
    claims: dict[str, Any] = {"aud": sku, "exp": int(time.time()) + expires_in}
    if customer is not None:
        claims["sub"] = normal_customer_id(customer)
    if max_quantity is not None:
        claims["max_quantity"] = max_quantity
    if settings.jwt_issuer is not None:
        claims["iss"] = settings.jwt_issuer
    # Signatures take a while to import, and no other command makes any.
    from flashsale.cli.pass_signing import signed_passes, signer

    header, signing_key = signer(settings, key, kid)
    passes = signed_passes(count, claims, header, signing_key)
    if as_json:
        print(json.dumps([{"pass": signed, **claimed} for signed, claimed in passes], indent=2))
        return
    for signed, _ in passes:
        print(signed)
