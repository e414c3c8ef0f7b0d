"""`python -m consumer` is `flashsale consumer`."""

from flashsale.cli.main import app

app(["consumer"])
