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
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
