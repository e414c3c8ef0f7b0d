"""The arguments and options that the commands of `flashsale sale` share."""

from typing import Annotated

import typer

Sku = Annotated[str, typer.Argument(help="The item for sale, such as tv-55.")]
ShowZone = Annotated[
    str | None,
    typer.Option(
        "--timezone",
        help="Show times of this zone, such as Europe/Berlin, not UTC.",
        metavar="ZONE",
    ),
]
GivenZone = Annotated[
    str | None,
    typer.Option(
        "--timezone",
        help="The zone of times without an offset, such as Europe/Berlin.",
        metavar="ZONE",
    ),
]
OpensAt = Annotated[
    str | None,
    typer.Option(
        "--opens-at",
        help="When the sale opens, such as 2030-11-29T09:00:00+01:00 or 2030-11-29T08:00:00Z"
        " (RFC 3339).",
        metavar="TIME",
    ),
]
ClosesAt = Annotated[
    str | None,
    typer.Option("--closes-at", help="When the sale closes, likewise.", metavar="TIME"),
]
Limit = Annotated[
    int | None, typer.Option(min=1, max=2**31 - 1, help="Most items for one customer.")
]
Title = Annotated[str | None, typer.Option(help="What shoppers read as the name.")]
Price = Annotated[str | None, typer.Option(help="The price that is shown, such as 499.00.")]
Currency = Annotated[
    str | None, typer.Option(help="The currency of the price, such as EUR (ISO 4217).")
]
PictureUrl = Annotated[
    str | None,
    typer.Option(
        "--picture-url", help="The picture: an https address, or a path.", metavar="ADDRESS"
    ),
]
NeedsPass = Annotated[
    bool | None,
    typer.Option(
        "--needs-pass/--no-needs-pass",
        help="Whether each order needs a purchase pass of the shop. Default: it needs none.",
        show_default=False,
    ),
]
Reason = Annotated[str | None, typer.Option(help="Why, for the audit.")]
HoldSeconds = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=86_400,
        help="How long an order holds its items for a payment. Without it an order buys at once.",
    ),
]
Waitlist = Annotated[
    int | None,
    typer.Option(min=0, max=2**31 - 1, help="How many orders may wait for items that are held."),
]
Cancellable = Annotated[
    bool | None,
    typer.Option(
        "--cancellable/--not-cancellable",
        help="Whether a confirmed order may be cancelled. Default: it may not.",
        show_default=False,
    ),
]
Extendable = Annotated[
    bool | None,
    typer.Option(
        "--extendable/--not-extendable",
        help="Whether a customer may extend a hold once. Default: it may not.",
        show_default=False,
    ),
]
