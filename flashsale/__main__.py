"""`python -m flashsale` is `flashsale`."""

from flashsale.cli.main import main

main()
