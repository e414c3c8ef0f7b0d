"""`flashsale sale ...`: create, show and change sales."""

from flashsale.cli.sale.commands import sale_app

__all__ = ["sale_app"]
