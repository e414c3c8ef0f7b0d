"""Which queue for which situation, and that documents and advice have the same figures."""

import itertools
import re
from pathlib import Path
from typing import get_args

import pytest

from flashsale.advice.documented import DOCUMENTED
from flashsale.advice.figures import figures
from flashsale.advice.rule import ASKED, Have, Loss, Need, Situation, advice_on, advise, choose
from flashsale.runtime.settings import PREFIX, Settings
from loadtest.bench.brokers.contenders import CONTENDERS
from loadtest.bench.brokers.page import PAGE, generated_parts, parts_of

ROOT = Path(__file__).parents[3]

CHOICES = {
    "Orders that must not be lost": ("rabbitmq_quorum", True),
    "A small team with a database": ("postgresql_batches", False),
    "The spike hits the very database to protect": ("rabbitmq_quorum", True),
    "The lowest latency": ("redis_everysec", False),
    "Redis is there already": ("redis_always", False),
    "Many services, routing and delays": ("rabbitmq_quorum", True),
    "Replay and many readers": ("rabbitmq_stream", False),
    "No operations, in a cloud": ("sqs", False),
}
EVERY_SITUATION = [
    Situation(*answers)
    for answers in itertools.product(get_args(Loss), get_args(Have), (True, False), get_args(Need))
]


def test_each_situation_that_people_ask_about_has_its_choice() -> None:
    chosen = {asked.title: choose(asked.situation) for asked in ASKED}
    assert {title: (one.name, one.runs_here) for title, one in chosen.items()} == CHOICES


@pytest.mark.parametrize("situation", EVERY_SITUATION, ids=str)
def test_every_situation_has_advice_with_figures_or_a_source(situation: Situation) -> None:
    advice = advise(situation)
    assert advice.measured == figures().get(advice.choice.name)
    assert advice.measured is not None or DOCUMENTED[advice.choice.name].source
    assert "{" not in advice.reason


@pytest.mark.parametrize("situation", EVERY_SITUATION, ids=str)
def test_orders_that_must_not_be_lost_never_wait_in_a_queue_that_does_not_sync(
    situation: Situation,
) -> None:
    advice = advise(situation)
    if situation.loss == "nothing" and situation.need != "replay" and advice.measured:
        assert (advice.measured.fsyncs_per_1000 or 0) >= 1


@pytest.mark.parametrize("situation", EVERY_SITUATION, ids=str)
def test_the_settings_of_an_advice_are_settings_of_the_product(situation: Situation) -> None:
    settings = choose(situation).settings
    fields = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert settings
    assert set(settings) <= fields


def test_a_database_to_protect_never_holds_the_queue() -> None:
    for situation in EVERY_SITUATION:
        if situation.protect:
            assert not choose(situation).name.startswith("postgresql")


def test_the_figures_are_those_of_all_queues_that_are_measured() -> None:
    assert list(figures()) == [one.name for one in CONTENDERS]
    for one in CONTENDERS:
        found = figures()[one.name]
        assert found.title == one.title
        assert (found.past_bound is None, found.refused_per_second is None) == (
            (not one.bounded,) * 2
        )


def test_the_figures_support_the_reasons() -> None:
    known = figures()
    quorum, classic = known["rabbitmq_quorum"], known["rabbitmq_classic"]
    assert (classic.fsyncs_per_1000 or 0) < 1 < (quorum.fsyncs_per_1000 or 0)
    assert (known["rabbitmq_stream"].fsyncs_per_1000 or 0) < 1
    batches, rows = known["postgresql_batches"], known["postgresql_rows"]
    assert batches.confirmed_per_second > 2 * rows.confirmed_per_second
    assert batches.past_bound == 0
    refusing = [found for found in known.values() if found.refused_per_second]
    assert known["redis_always"].p99_ms < quorum.p99_ms
    assert min(refusing, key=lambda found: found.p99_ms) == known["redis_everysec"]


def test_the_page_has_the_tables_that_the_figures_give() -> None:
    assert parts_of(PAGE.read_text()) == generated_parts()


def test_the_page_names_each_situation_and_its_advice() -> None:
    page = PAGE.read_text()
    for asked in ASKED:
        section = page.partition(f"### {asked.title}\n")[2].partition("\n### ")[0]
        assert advice_on(choose(asked.situation)).title in section
        for name, value in choose(asked.situation).settings.items():
            assert f"{name}={value}" in section


def test_files_that_the_advice_names_exist() -> None:
    for asked in ASKED:
        for name in re.findall(r"\w[\w/.-]+\.(?:py|md)", choose(asked.situation).how):
            assert (ROOT / name).exists(), name
