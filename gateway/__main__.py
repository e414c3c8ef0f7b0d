"""`python -m gateway` is `flashsale gateway`."""

from flashsale.cli import app

app(["gateway"])
