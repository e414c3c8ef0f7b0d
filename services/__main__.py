"""`python -m services` is `flashsale services`."""

import sys

from flashsale.cli import app

app(["services", *sys.argv[1:]])
