"""`python -m gateway` is `flashsale gateway`."""

from flashsale.cli.main import app

app(["gateway"])
