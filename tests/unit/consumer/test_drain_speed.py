import pytest

from consumer.drain_control import DrainControl
from consumer.drain_speed import DrainSpeed


def test_drain_speed_is_the_limit_until_the_drain_is_behind() -> None:
    speed = DrainSpeed(DrainControl(2000))
    assert speed.rate == 2000
    for second in range(10):
        speed.add(float(second), 1, behind=False)
    assert speed.rate == 2000


def test_drain_speed_is_measured_while_the_drain_is_behind() -> None:
    speed = DrainSpeed(DrainControl(2000))
    for step in range(100):
        speed.add(step * 0.1, 50, behind=True)
    assert speed.rate == pytest.approx(500, rel=0.05)


def test_drain_speed_is_the_mean_of_two_seconds() -> None:
    speed = DrainSpeed(DrainControl(2000))
    for step in range(50):
        speed.add(step * 0.1, 10, behind=True)
    for step in range(50, 75):
        speed.add(step * 0.1, 100, behind=True)
    assert speed.rate == pytest.approx(1000, rel=0.05)


def test_drain_speed_follows_a_changed_limit_while_the_drain_is_not_behind() -> None:
    control = DrainControl(2000)
    speed = DrainSpeed(control)
    control.change(100)
    assert speed.rate == 100
