"""`python -m services` is `flashsale services`."""

import sys

from flashsale.cli.main import app

app(["services", *sys.argv[1:]])
