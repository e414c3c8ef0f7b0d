"""Recognise the variables that an orchestrator sets by itself for the services around a process.

The kubelet sets seven for each port of a Service in the namespace
(https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables), and
container links set the same and two more. Those of a Service called `flashsale-gateway` begin with
the prefix of our settings, and one of them is `FLASHSALE_GATEWAY_PORT=tcp://10.96.7.3:80`.
"""

import re
from collections.abc import Mapping

_PROTOCOLS = "tcp|udp|sctp"
_ADDRESS = re.compile(rf"({_PROTOCOLS})://\S+:\d+(-\d+)?")
_PORT = "_PORT"
# What follows the name of the service. No setting may end like this.
_DERIVED = re.compile(
    rf"_SERVICE_HOST|_SERVICE_PORT(_[A-Z0-9_]+)?"
    rf"|_PORT_\d+_({_PROTOCOLS.upper()})(_(PROTO|PORT|ADDR)(_START|_END)?|_START|_END)?"
)
_OF_LINKS = re.compile(r"(_ENV_\w+|_NAME)")


def is_service_address(name: str, value: str) -> bool:
    """Return whether the variable holds the address of a service, and not the number of a port."""
    return name.endswith(_PORT) and _ADDRESS.fullmatch(value.strip()) is not None


def service_links(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the variables that an orchestrator has set for services."""
    addresses = [name for name, value in environment.items() if is_service_address(name, value)]
    services = tuple(name.removesuffix(_PORT) for name in addresses)
    found = set(addresses)
    for name in environment:
        if _ends_like(_DERIVED, name) or any(
            name.startswith(service) and _OF_LINKS.fullmatch(name, len(service))
            for service in services
        ):
            found.add(name)
    return frozenset(found)


def _ends_like(ending: re.Pattern[str], name: str) -> bool:
    return any(ending.fullmatch(name, at) for at in range(1, len(name)) if name.startswith("_", at))
