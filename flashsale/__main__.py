"""`python -m flashsale` is `flashsale`."""

from flashsale.cli import main

main()
