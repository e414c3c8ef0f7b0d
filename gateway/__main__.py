"""`python -m gateway`: run a gateway until a signal."""

from flashsale.runtime.process import run, settings_or_fail
from gateway.app import run_gateway


def main() -> None:
    """Run a gateway, which takes orders over HTTP and puts them in the queue."""
    settings = settings_or_fail()
    run(lambda stop: run_gateway(settings, stop))


if __name__ == "__main__":
    main()
