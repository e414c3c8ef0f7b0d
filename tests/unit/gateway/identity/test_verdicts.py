"""The table of tokens that were found good: bounded, and never for longer than it may be."""

import tracemalloc

from gateway.identity.verdicts import LONGEST_SECONDS, Verdicts


def test_a_token_is_remembered_until_it_expires() -> None:
    verdicts = Verdicts()
    verdicts.keep("t", "alice", now=100, seconds=60)
    assert verdicts.find("t", 159) == "alice"
    assert verdicts.find("t", 160) is None
    assert verdicts.find("u", 100) is None


def test_a_token_is_remembered_for_five_minutes_at_most() -> None:
    assert LONGEST_SECONDS == 300
    verdicts = Verdicts()
    verdicts.keep("t", "alice", now=100, seconds=1e300)
    assert verdicts.find("t", 399) == "alice"
    assert verdicts.find("t", 400) is None


def test_the_oldest_tokens_make_room() -> None:
    verdicts = Verdicts(most=3)
    for number in range(5):
        verdicts.keep(f"t{number}", "c", now=0, seconds=60)
        verdicts.keep("again", "c", now=0, seconds=60)
    assert len(verdicts) == 3
    assert [verdicts.find(f"t{n}", 1) for n in range(5)] == [
        None,
        None,
        None,
        "c",
        "c",
    ]


def test_nothing_is_left_of_what_is_forgotten() -> None:
    verdicts = Verdicts()
    verdicts.keep("t", "alice", now=0, seconds=60)
    verdicts.forget()
    assert verdicts.find("t", 1) is None


def test_a_token_of_any_length_takes_a_few_hundred_bytes() -> None:
    verdicts = Verdicts()
    tracemalloc.start()
    try:
        for number in range(1000):
            verdicts.keep(
                f"{number}" + "x" * 8000,
                f"customer-{number}",
                now=0,
                seconds=60,
            )
        assert tracemalloc.get_traced_memory()[0] < 1000 * 500
    finally:
        tracemalloc.stop()
