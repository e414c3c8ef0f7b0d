"""`python -m services [NAME ...]`: run services until a signal."""

import sys
from collections.abc import Collection

from flashsale.runtime.process import expected_failures_in_one_line, fail, run, settings_or_fail
from services.app import run_services
from services.installed import chosen_services


def main(names: Collection[str]) -> None:
    """Run the services of these names, or all of FLASHSALE_SERVICES if no name is given."""
    settings = settings_or_fail()
    with expected_failures_in_one_line():
        chosen = chosen_services(settings.services, names)
    if not chosen:
        fail("FLASHSALE_SERVICES=none: there is no service to run")
    run(lambda stop: run_services(settings, chosen, stop))


if __name__ == "__main__":
    main(sys.argv[1:])
