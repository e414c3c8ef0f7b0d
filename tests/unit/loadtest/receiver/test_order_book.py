"""The orders of the shop behind the gateway."""

import pytest

from loadtest.receiver.order_book import InProgress, Made, OrderBook, Placed, SoldOut


def an_order(key: str = "a", quantity: int = 1, decided: bool = False) -> Placed:
    return Placed(key, "tv", "ann", quantity, decided)


def made(book: OrderBook, placed: Placed) -> Made | SoldOut:
    assert book.begin(placed) is None
    return book.decide(placed, 0.0)


def test_a_key_that_comes_again_gets_the_order_of_the_first() -> None:
    book = OrderBook(stock=5)
    first = made(book, an_order())
    assert book.begin(an_order()) == first
    assert (len(book.made), book.sold, book.repeated, book.doubled) == (1, 1, 1, 0)


def test_a_key_whose_first_request_is_not_decided_is_in_progress() -> None:
    book = OrderBook(stock=5)
    assert book.begin(an_order()) is None
    assert book.begin(an_order()) == InProgress()


def test_a_key_whose_first_request_failed_is_new_again() -> None:
    book = OrderBook(stock=5)
    book.begin(an_order())
    book.give_up(an_order())
    assert isinstance(made(book, an_order()), Made)


def test_a_shop_that_ignores_keys_counts_the_orders_that_it_doubled() -> None:
    book = OrderBook(stock=5, honours_keys=False)
    for _ in range(3):
        made(book, an_order())
    assert (len(book.made), book.doubled) == (3, 2)


def test_an_order_of_more_than_is_left_is_refused_and_stays_so() -> None:
    book = OrderBook(stock=2)
    made(book, an_order("a"))
    assert made(book, an_order("b", quantity=2)) == SoldOut(left=1)
    assert isinstance(made(book, an_order("c")), Made)
    assert made(book, an_order("d")) == SoldOut(left=0)
    assert book.begin(an_order("b", quantity=2)) == SoldOut(left=1)
    assert (book.sold, book.refused, book.oversold) == (2, 2, 0)


@pytest.mark.parametrize(("stock", "oversold"), [(1, 2), (None, 0)])
def test_an_order_that_is_decided_elsewhere_is_written_even_over_the_stock(
    stock: int | None, oversold: int
) -> None:
    book = OrderBook(stock)
    for key in "abc":
        made(book, an_order(key, decided=True))
    assert (len(book.made), book.oversold) == (3, oversold)
