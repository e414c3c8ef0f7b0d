"""Start the order service of a shop on this machine.

It takes the signed messages of a gateway if the variable RECEIVER_SECRET has one or more secrets
(`whsec_...`, spaces between), else the orders of shoppers. `GET /stats` tells what it has seen,
`GET /orders` lists the orders that it made, and `PUT /behaviour` changes how it misbehaves.
"""

import argparse
import os

import uvloop

from flashsale.messages.standard_webhooks import SecretError, parse_secret
from loadtest.load.file_limit import allow_many_connections
from loadtest.receiver.app import Shop, create_app
from loadtest.receiver.behaviour import Behaviour
from loadtest.receiver.running import SECRETS
from loadtest.receiver.saturated_database import Limits, connections_for
from loadtest.receiver.serving import serve

_LIMITS = Limits()


def main() -> None:
    """Serve until a signal."""
    parser = _parser()
    arguments = parser.parse_args()
    try:
        shop = _shop(arguments)
    except SecretError as error:
        parser.error(f"{SECRETS}: {error}")
    except ValueError as error:
        parser.error(str(error))
    allow_many_connections()
    try:
        uvloop.run(serve(create_app(shop), arguments.port))
    except OSError as error:
        parser.exit(1, f"{error}\n")


def _shop(arguments: argparse.Namespace) -> Shop:
    return Shop(
        keys=[parse_secret(secret) for secret in os.environ.get(SECRETS, "").split()],
        stock=arguments.stock,
        limits=Limits(
            arguments.capacity,
            connections_for(arguments.capacity)
            if arguments.connections is None
            else arguments.connections,
            arguments.contention,
            arguments.patience,
        ),
        honours_keys=not arguments.ignore_keys,
        behaviour=Behaviour(
            arguments.answer, arguments.retry_after, arguments.delay, arguments.hang
        ),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest.receiver", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--stock", type=int, help="items for sale; not counted if not given")
    parser.add_argument(
        "--capacity",
        type=float,
        default=_LIMITS.capacity,
        help="orders a second that its database can take (default: %(default)g)",
    )
    parser.add_argument(
        "--connections",
        type=int,
        help="to the database (default: 32 for 2,000 orders a second, fewer for fewer)",
    )
    parser.add_argument(
        "--contention",
        type=float,
        default=_LIMITS.contention,
        help="how much longer a query takes for each second's worth of waiting ones"
        " (default: %(default)g)",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=_LIMITS.patience,
        help="seconds that an order waits for a connection (default: %(default)g)",
    )
    bad = parser.add_argument_group("misbehaviour")
    bad.add_argument("--answer", type=int, help="answer each order with this status")
    bad.add_argument("--retry-after", help="and with this header: seconds or a date")
    bad.add_argument("--delay", type=float, default=0.0, help="seconds before each order")
    bad.add_argument("--hang", action="store_true", help="take orders, and never answer")
    bad.add_argument("--ignore-keys", action="store_true", help="make an order of each request")
    return parser


if __name__ == "__main__":
    main()
