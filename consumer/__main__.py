"""`python -m consumer`: run a consumer until a signal."""

from consumer.app import run_consumer
from flashsale.runtime.process import run, settings_or_fail


def main() -> None:
    """Run a consumer, which drains the queue into the database, or stands by if another does."""
    settings = settings_or_fail()
    run(lambda stop: run_consumer(settings, stop))


if __name__ == "__main__":
    main()
