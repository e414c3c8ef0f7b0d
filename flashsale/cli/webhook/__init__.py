"""`flashsale webhook ...`: manage the endpoints that are told about events."""

from flashsale.cli.webhook.endpoints import webhook_app

__all__ = ["webhook_app"]
