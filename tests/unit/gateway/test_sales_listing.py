"""The listing of all sales."""

from collections.abc import Callable

from gateway.state.sales_listing import FRESH_SECONDS, Listing


def test_who_asks_at_the_same_time_reads_the_same_listing() -> None:
    written: list[int] = []

    def write(number: int) -> Callable[[], bytes]:
        def listing() -> bytes:
            written.append(number)
            return b"%d" % number

        return listing

    listing = Listing()
    assert [listing.read(50.0, write(n)) for n in (1, 2, 3)] == [b"1"] * 3
    assert listing.read(50.0 + FRESH_SECONDS / 2, write(4)) == b"1"
    assert listing.read(50.01 + FRESH_SECONDS, write(5)) == b"5"
    assert written == [1, 5]
