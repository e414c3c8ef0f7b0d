"""Every alert fires when it should and is silent when not: Prometheus' own unit tests of rules."""

import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[3]
RULES = ROOT / "prometheus/rules.yml"

Series = dict[str, str]


class Case(NamedTuple):
    """Series, a sample every 5 s, by which an alert fires after some minutes or never does."""

    alert: str
    fires: Series
    silent: Series
    after: str = "2m"


# `1x30` is 30 more of the same, `0+5x30` grows by 5 a sample, `_` is no sample.
CASES = [
    Case(
        "FlashsaleOversold",
        {'flashsale_sale_oversold_items{sku="tv"}': "0x10 1x30"},
        {'flashsale_sale_oversold_items{sku="tv"}': "0x40"},
    ),
    Case(
        "FlashsaleDrainOverRate",
        {"flashsale_released_max_1s_orders": "2001x40", "flashsale_drain_rate_cap": "2000x40"},
        {"flashsale_released_max_1s_orders": "2000x40", "flashsale_drain_rate_cap": "2000x40"},
    ),
    Case(
        "FlashsaleOrdersMissing",
        {
            'flashsale_missing_orders{instance="a"}': "0x10 3x30",
            'flashsale_missing_orders{instance="b"}': "0x40",
        },
        {'flashsale_missing_orders{instance="a"}': "0x10 3x5 0x25"},
    ),
    Case(
        "FlashsaleDeadOrders",
        {"flashsale_dead_orders_total": "0x10 1x30"},
        {"flashsale_dead_orders_total": "7x40"},
    ),
    Case(
        "FlashsaleDeadEvents",
        {'flashsale_service_dead_events_total{service="mail"}': "0x10 3x30"},
        {'flashsale_service_dead_events_total{service="mail"}': "3x40"},
    ),
    Case(
        "FlashsaleServicePaused",
        {'flashsale_service_paused{service="mail",instance="a"}': "1x40"},
        # A provider that limits the rate, and a service that waits for it again and again.
        {'flashsale_service_paused{service="mail",instance="a"}': "1 1 1 1 0 " * 8},
    ),
    Case(
        "FlashsaleWebhookDisabled",
        {
            'flashsale_webhook_endpoint_disabled{endpoint="e",by="failures",instance="a"}': (
                "0x5 1x35"
            ),
            'flashsale_webhook_endpoint_disabled{endpoint="e",by="failures",instance="b"}': (
                "0x5 1x35"
            ),
        },
        {
            'flashsale_webhook_endpoint_disabled{endpoint="e",by="failures",instance="a"}': (
                "1x5 0x35"
            ),
            # An operator wants it so.
            'flashsale_webhook_endpoint_disabled{endpoint="f",by="operator",instance="a"}': "1x40",
        },
    ),
    Case(
        "FlashsaleWebhookLate",
        {
            'flashsale_webhook_oldest_seconds{endpoint="e",instance="a"}': "3601+5x40",
            'flashsale_webhook_endpoint_disabled{endpoint="e",by="failures",instance="a"}': "0x40",
            'flashsale_webhook_endpoint_disabled{endpoint="f",by="operator",instance="a"}': "1x40",
        },
        {
            'flashsale_webhook_oldest_seconds{endpoint="e",instance="a"}': "3599x40",
            'flashsale_webhook_oldest_seconds{endpoint="f",instance="a"}': "90000x40",
            'flashsale_webhook_endpoint_disabled{endpoint="f",by="failures",instance="b"}': "1x40",
        },
    ),
    Case(
        "FlashsaleBacklogFull",
        {"flashsale_backlog_orders": "2000x40", "flashsale_backlog_limit_orders": "2000x40"},
        # Full for no more than five seconds at a time.
        {
            "flashsale_backlog_orders": "2000 1900 2000 1900 2000 1900 " * 8,
            "flashsale_backlog_limit_orders": "2000x40",
        },
    ),
    Case(
        "FlashsaleDrainStalled",
        {"flashsale_backlog_orders": "50x40", "flashsale_released_orders_total": "900x40"},
        {"flashsale_backlog_orders": "50x40", "flashsale_released_orders_total": "0+10x40"},
    ),
    Case(
        "FlashsaleDrainStalled",
        {"flashsale_backlog_orders": "50x40"},  # there is no consumer at all
        {"flashsale_backlog_orders": "0x40", "flashsale_released_orders_total": "900x40"},
    ),
    Case(
        "FlashsaleDrainStalled",
        {"flashsale_backlog_orders": "50x40", 'flashsale_drain_paused{instance="a"}': "0x40"},
        # An operator wants it so.
        {
            "flashsale_backlog_orders": "50x40",
            'flashsale_drain_paused{instance="a"}': "1x40",
            'flashsale_drain_paused{instance="b"}': "0x40",
        },
    ),
    Case(
        "FlashsaleSinkFails",
        {
            'flashsale_sink_breaker_state{state="open"}': "0x5 1x6 0x29",
            'flashsale_sink_breaker_state{state="probing"}': "0x11 1x29",
        },
        {'flashsale_sink_breaker_state{state="ramping"}': "1x40"},
    ),
    Case(
        "FlashsaleDrainPaused",
        {"flashsale_backlog_orders": "50x200", "flashsale_drain_paused": "1x200"},
        {"flashsale_backlog_orders": "0x200", "flashsale_drain_paused": "1x200"},
        after="11m",
    ),
    Case(
        "FlashsaleIntakePaused",
        {'flashsale_intake_paused{instance="a"}': "1x40"},
        {'flashsale_intake_paused{instance="a"}': "1 1 1 0 " * 10},
    ),
    Case(
        "FlashsaleNoActiveDrain",
        {
            'flashsale_drain_active{instance="a"}': "0x40",
            'flashsale_drain_active{instance="b"}': "0x40",
        },
        {
            'flashsale_drain_active{instance="a"}': "1x15 _x25",
            'flashsale_drain_active{instance="b"}': "0x16 1x24",
        },
    ),
    Case("FlashsaleNoActiveDrain", {"up": "1x40"}, {"flashsale_drain_active": "1x40"}),
    Case(
        "FlashsaleOutboxLag",
        {"flashsale_outbox_lag_seconds": "61x40"},
        {"flashsale_outbox_lag_seconds": "12x40"},
    ),
    Case(
        "FlashsaleBrokerDown",
        {'flashsale_broker_up{instance="a"}': "0x40"},
        {'flashsale_broker_up{instance="a"}': "1 0 1 1 1 1 0 1 " * 5},
    ),
    Case(
        "FlashsaleBrokerBlocked",
        {'flashsale_broker_blocked{instance="a"}': "1x40"},
        {'flashsale_broker_blocked{instance="a"}': "0x40"},
    ),
    Case(
        "FlashsalePublishErrors",
        {'flashsale_broker_messages_total{job="gateway",answer="unanswered"}': "0+1x40"},
        {
            'flashsale_broker_messages_total{job="gateway",answer="unanswered"}': "5x40",
            'flashsale_broker_messages_total{job="gateway",answer="refused"}': "0+100x40",
            'flashsale_broker_messages_total{job="gateway",answer="confirmed"}': "0+100x40",
        },
    ),
    Case(
        "FlashsaleProcessDown",
        {'up{job="gateway",instance="a"}': "0x40"},
        {'up{job="gateway",instance="a"}': "1x40", 'up{job="other",instance="a"}': "0x40"},
    ),
    Case(
        "FlashsaleBackgroundTaskFailing",
        {'flashsale_background_task_failing{task="drain"}': "1x40"},
        {
            'flashsale_background_task_failing{task="drain"}': "0x10 1 0x30",
            'flashsale_background_task_failures_total{task="drain"}': "0x10 1x30",
        },
    ),
    Case(
        "FlashsaleBackgroundTaskFailing",
        # It runs for some seconds after each start, and then ends again.
        {
            'flashsale_background_task_failing{task="drain"}': "0 0 1 " * 13,
            'flashsale_background_task_failures_total{task="drain"}': "0 0 1 1 1 2 2 2 3 3 3 4 4 4 "
            "5 5 5 6 6 6 7 7 7 8 8 8 9 9 9",
        },
        {
            'flashsale_background_task_failing{task="drain"}': "0x40",
            'flashsale_background_task_failures_total{task="drain"}': "9x40",
        },
    ),
    Case(
        "FlashsaleTokenKeysOld",
        {'flashsale_token_keys_age_seconds{instance="a"}': "580+5x40"},
        # A gateway without keys to fetch tells 0.
        {'flashsale_token_keys_age_seconds{instance="a"}': "0x8 590x40"},
    ),
    Case(
        "FlashsaleClockSkew",
        {'flashsale_clock_skew_seconds{instance="a"}': "0x10 60x30"},
        {'flashsale_clock_skew_seconds{instance="a"}': "0.004 2 -0.9 0.9 " * 10},
    ),
    Case(
        "FlashsaleClockSkew",
        {'flashsale_clock_skew_seconds{instance="a"}': "-1.5x40"},
        # Nothing is known while no drain runs.
        {'flashsale_clock_skew_seconds{instance="a"}': "60x2 stale"},
    ),
    Case(
        "FlashsaleClockStepped",
        {
            'flashsale_drain_clock_step_seconds{instance="a"}': "0x10 -3600x30",
            'flashsale_drain_active{instance="a"}': "1x40",
        },
        # One that lost its lease meanwhile follows no clock.
        {
            'flashsale_drain_clock_step_seconds{instance="a"}': "3600x40",
            'flashsale_drain_active{instance="a"}': "0x40",
            'flashsale_drain_clock_step_seconds{instance="b"}': "0.9x40",
            'flashsale_drain_active{instance="b"}': "1x40",
        },
    ),
    Case(
        "FlashsaleLoopLag",
        {
            'flashsale_loop_lag_seconds_bucket{job="gateway",le="0.25"}': "0+90x40",
            'flashsale_loop_lag_seconds_bucket{job="gateway",le="0.5"}': "0+100x40",
            'flashsale_loop_lag_seconds_bucket{job="gateway",le="+Inf"}': "0+100x40",
        },
        {
            'flashsale_loop_lag_seconds_bucket{job="gateway",le="0.25"}': "0+100x40",
            'flashsale_loop_lag_seconds_bucket{job="gateway",le="0.5"}': "0+100x40",
            'flashsale_loop_lag_seconds_bucket{job="gateway",le="+Inf"}': "0+100x40",
        },
    ),
    Case(
        "FlashsaleBrokerDiskLow",
        {
            "rabbitmq_disk_space_available_bytes": "90x40",
            "rabbitmq_disk_space_available_limit_bytes": "50x40",
        },
        {
            "rabbitmq_disk_space_available_bytes": "900x40",
            "rabbitmq_disk_space_available_limit_bytes": "50x40",
        },
    ),
]


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def promtool_test(alert: str, series: Series, after: str, firing: bool, folder: Path) -> None:
    tests = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "5s",
        "tests": [
            {
                "interval": "5s",
                "input_series": [
                    {"series": name, "values": values} for name, values in series.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                        "eval_time": after,
                        "exp_samples": [{"labels": "{}", "value": 1}] if firing else [],
                    }
                ],
            }
        ],
    }
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump(tests))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_when_it_should_and_is_silent_when_not(case: Case, tmp_path: Path) -> None:
    promtool_test(case.alert, case.fires, case.after, True, tmp_path)
    promtool_test(case.alert, case.silent, case.after, False, tmp_path)


def test_every_alert_is_tested_and_has_an_entry_in_the_runbook() -> None:
    found = alerts()
    assert {case.alert for case in CASES} == set(found)
    page = (ROOT / "docs/runbook.md").read_text()
    entries = re.findall(r"^## (\w+)$", page, re.M)
    assert sorted(entries) == sorted(found), "no alert without an entry, no entry without an alert"
    for name, rule in found.items():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_prometheus_takes_the_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", str(RULES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
