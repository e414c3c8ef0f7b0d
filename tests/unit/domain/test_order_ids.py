"""Order ids: the same one for a key, and impossible to guess."""

import re
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.order_ids import (
    ORDER_ID_PATTERN,
    is_order_id,
    keyed_order_id,
    pass_order_id,
    random_order_id,
)

SECRET = b"0123456789abcdef"
texts = st.text(min_size=1, max_size=20)


@given(texts, texts, texts, texts)
def test_a_key_stands_for_one_order_of_one_customer(
    customer: str, key: str, other_customer: str, other_key: str
) -> None:
    same = (customer, key) == (other_customer, other_key)
    first = keyed_order_id(SECRET, customer, key)
    second = keyed_order_id(SECRET, other_customer, other_key)
    assert (first == second) == same


def test_an_order_id_depends_on_the_border_between_customer_and_key() -> None:
    assert keyed_order_id(SECRET, "ab", "c") != keyed_order_id(SECRET, "a", "bc")


def test_an_order_id_depends_on_the_secret() -> None:
    assert keyed_order_id(SECRET, "a", "b") != keyed_order_id(SECRET + b"!", "a", "b")


def test_random_order_ids_differ() -> None:
    assert len({random_order_id() for _ in range(1000)}) == 1000


def test_a_pass_and_a_key_never_make_the_same_id() -> None:
    by_pass = {pass_order_id(SECRET, sku, jti) for sku in ("tv", "t") for jti in ("vk", "k", "")}
    by_key = {keyed_order_id(SECRET, who, key) for who in ("tv", "t") for key in ("vk", "k", "")}
    assert len(by_pass | by_key) == 12
    assert pass_order_id(b"another", "tv", "k") not in by_pass
    assert all(re.match(ORDER_ID_PATTERN, order_id) for order_id in by_pass)


def test_random_ids_differ_in_a_process_and_its_children() -> None:
    """They are made many at a time, and a child has the memory of its parent."""
    program = """
import os
from flashsale.domain.order_ids import random_order_id
ids = [random_order_id() for _ in range(1000)]
child = os.fork()
ids += [random_order_id() for _ in range(100)]
if child:
    os.waitpid(child, 0)
else:
    del ids[:1000]
print(*ids, flush=True)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    ids = ran.stdout.split()
    assert len(ids) == 1000 + 2 * 100
    assert len(set(ids)) == len(ids)
    assert all(map(is_order_id, ids))
