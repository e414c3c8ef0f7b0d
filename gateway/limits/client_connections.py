"""The connections that each client has open to this process."""

from flashsale.runtime.addresses import parse_networks
from flashsale.runtime.settings import Settings
from gateway.limits.client_address import ClientKeys, TrustedNetworks, parse_address
from gateway.limits.open_counts import OpenCounts


class ClientConnections(OpenCounts):
    """Counts connections by address. Those of proxies are not counted."""

    def __init__(self, most: int, keys: ClientKeys, proxies: TrustedNetworks) -> None:
        """Allow each client `most` connections."""
        super().__init__()
        self.most = most
        self._keys = keys
        self._proxies = proxies

    def client(self, peer: str | None) -> bytes | None:
        """Return the key of the client with this address, None if it is not limited."""
        address = parse_address(peer)
        if address is None or address in self._proxies:
            return None
        return self._keys.of_address(address)


def client_connections(settings: Settings) -> ClientConnections | None:
    """Return the counts of connections, None if they are not limited."""
    if settings.client_connections is None:
        return None
    return ClientConnections(
        settings.client_connections,
        ClientKeys(settings.client_ipv6_prefix),
        TrustedNetworks(parse_networks(settings.trusted_proxies)),
    )
