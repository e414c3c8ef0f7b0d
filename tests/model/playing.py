"""Play a machine so many times, by either driver."""

import time
from collections.abc import Iterable, Sequence

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import SaleMachine
from tests.model.walk import draw_walk, made_small

_ALL_PHASES = tuple(Phase)


def search(
    machine: type[SaleMachine],
    sales: int,
    steps: int = 100,
    phases: Sequence[Phase] = _ALL_PHASES,
    derandomize: bool = False,
) -> None:
    """Have Hypothesis play so many sales; raises what it found, made small."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=sales,
            stateful_step_count=steps,
            phases=phases,
            derandomize=derandomize,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def walk(machine: type[SaleMachine], seeds: Iterable[int], steps: int = 300) -> None:
    """Play the walk of each seed; raises at the first that fails, made small."""
    for seed in seeds:
        walked = draw_walk(seed, steps, machine)
        if walked.play(machine) is not None:
            small = made_small(walked, machine)
            lines = "\n".join(f"  {name}({of!r})" for name, of in small.steps)
            raise AssertionError(f"seed {seed}, offer {small.offer}:\n{lines}") from small.play(
                machine
            )


class Speed:
    """Counts the steps of machines, and the time they take on the processor."""

    def __init__(self) -> None:
        self._steps = SaleMachine.steps
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def __str__(self) -> str:
        steps = SaleMachine.steps - self._steps
        wall = time.perf_counter() - self._wall
        processor = time.process_time() - self._processor
        return (
            f"{steps} steps in {wall:.1f} s: {steps / wall:.0f} a second,"
            f" {steps / processor:.0f} a second of the processor"
        )
