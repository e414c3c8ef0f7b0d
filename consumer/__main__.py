"""`python -m consumer` is `flashsale consumer`."""

from flashsale.cli import app

app(["consumer"])
