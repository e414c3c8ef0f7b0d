"""The figures of the benchmark of holds."""

from loadtest.bench.holds.memory import memory
from loadtest.bench.holds.rates import Rates
from loadtest.bench.scale.drain import Drained
from loadtest.bench.scale.intake import IntakeResult


def an_intake(per_second: float, cpu_us: float) -> IntakeResult:
    return IntakeResult(per_second, p99_ms=10.0, cpu_us=cpu_us, gateway_cores=1, broker_cores=1)


def test_ratios_are_of_rates_that_were_measured_in_the_same_round() -> None:
    rates = Rates()
    # The machine is three times as fast in the second round.
    for speed in (1, 3, 1):
        rates.accepted[False].append(an_intake(1_000 * speed, 100 / speed))
        rates.accepted[True].append(an_intake(950 * speed, 104 / speed))
        rates.paced[False].append(Drained(2_000, 80 / speed))
        rates.paced[True].append(Drained(1_980, 80 / speed))
        rates.drained[False].append(Drained(2_000 * speed, 50 / speed))
        rates.drained[True].append(Drained(1_860 * speed, 54 / speed))
    figures = rates.figures()
    assert figures["accepted_ratio_holds_on_to_off"] == 0.95
    assert figures["paced_ratio_holds_on_to_off"] == 0.99
    assert figures["drain_ratio_holds_on_to_off"] == 0.93
    assert figures["drain_cpu_ratio_holds_off_to_on"] == 0.926
    assert figures["drain_per_second_holds_on"] == 1_860


def test_a_gateway_knows_a_hold_in_less_than_500_bytes() -> None:
    measured = memory(orders=10_000)
    assert 100 < measured.gateway_bytes_per_hold < 500
    assert measured.gateway_bytes_per_hold_with_owner < 500
    assert measured.gateway_bytes_per_confirmed < measured.gateway_bytes_per_hold
