"""`flashsale advise`, as a user meets it."""

import json
import os
import pty
import subprocess
import sys

import msgspec

from flashsale.advice.figures import figures
from tests.processes import run

ANSWERS = ("--loss", "nothing", "--have", "database", "--protect", "yes", "--need", "queue")


def advise(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run(["flashsale", "advise", *arguments], {})


def test_flags_print_the_choice_its_figures_and_the_settings() -> None:
    printed = advise(*ANSWERS).stdout
    quorum = figures()["rabbitmq_quorum"]
    assert printed.startswith(quorum.title)
    assert f"{quorum.confirmed_per_second:,}" in printed
    assert "FLASHSALE_QUEUE_TYPE=quorum\n" in printed


def test_json_has_the_figures_of_the_benchmark() -> None:
    told = json.loads(advise(*ANSWERS, "--json").stdout)
    assert told["choice"] == "rabbitmq_quorum"
    assert told["figures"] == msgspec.to_builtins(figures()["rabbitmq_quorum"])
    assert told["runs_on_it"] is True
    assert told["settings"]["FLASHSALE_QUEUE_TYPE"] == "quorum"


def test_what_is_not_measured_has_a_source() -> None:
    told = json.loads(advise(*ANSWERS[:2], "--have", "cloud", *ANSWERS[4:], "--json").stdout)
    assert (told["choice"], told["figures"], told["runs_on_it"]) == ("sqs", None, False)
    assert told["source"].startswith("https://docs.aws.amazon.com/")


def test_without_a_terminal_one_line_names_the_missing_flags() -> None:
    result = advise("--have", "redis")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == "flashsale: advise needs answers: give --loss, --protect, --need\n"


def test_a_terminal_is_asked_four_questions() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "flashsale", "advise"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as asked:
        os.close(theirs)
        os.write(ours, b"second\nredsi\nredis\nno\n\n")
        printed = asked.communicate(timeout=60)[0].decode()
    os.close(ours)
    assert printed.count("?") == 4 + 1
    assert "please answer one of: nothing, database, redis, cloud" in printed
    assert asked.returncode == 0
    assert figures()["redis_everysec"].title in printed
