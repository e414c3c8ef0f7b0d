"""The listing of all sales is encoded once for many clients."""

from collections.abc import Callable

from gateway.state.sales_listing import FRESH_SECONDS, SalesListing


def test_clients_that_ask_at_the_same_time_get_the_same_listing() -> None:
    encoded: list[int] = []

    def encode(number: int) -> Callable[[], bytes]:
        def listing() -> bytes:
            encoded.append(number)
            return b"%d" % number

        return listing

    listing = SalesListing()
    assert [listing.read(50.0, encode(n)) for n in (1, 2, 3)] == [b"1"] * 3
    assert listing.read(50.0 + FRESH_SECONDS / 2, encode(4)) == b"1"
    assert listing.read(50.01 + FRESH_SECONDS, encode(5)) == b"5"
    assert encoded == [1, 5]
