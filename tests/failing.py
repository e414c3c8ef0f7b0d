"""Run `flashsale run` with a broker that raises what nobody expects: `python -m tests.failing`."""

import logging
from typing import Any

from flashsale.broker.embedded import EmbeddedBroker
from flashsale.cli.main import app

publish = EmbeddedBroker.publish


def _fail_orders(broker: EmbeddedBroker, exchange: str, key: str, *rest: Any, **named: Any) -> Any:
    if key == "order":
        logging.getLogger("a.library").warning("it warns of %d things", 7)
        raise ZeroDivisionError("nobody expects this")
    return publish(broker, exchange, key, *rest, **named)


if __name__ == "__main__":
    EmbeddedBroker.publish = _fail_orders  # type: ignore[method-assign, assignment]
    app(["run"])
