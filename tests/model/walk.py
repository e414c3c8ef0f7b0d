"""The machine without Hypothesis: a walk of a seed, many steps a second, made small if it fails."""

import random
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tests.model.machine import OFFERS, SaleMachine


class Step(NamedTuple):
    """A rule of the machine, and what it is given."""

    rule: str
    of: Any


class Walk(NamedTuple):
    """A sale from its beginning to its end."""

    seed: int
    offer: tuple[int, int | None]
    steps: Sequence[Step]

    def play(self, machine: type[SaleMachine]) -> Exception | None:
        """Play it; what went wrong."""
        played = machine()
        try:
            try:
                played.open_shop(self.seed, self.offer)
                for name, of in self.steps:
                    getattr(played, name)(of)
                    played.promises_hold()
            finally:
                played.teardown()
        except Exception as error:
            return error
        return None


# Without orders, turns and time, the other rules have nothing to spoil.
_OFTEN = {"post": 4, "take_turns": 6, "let_time_pass": 4, "reserve": 4, "pay": 3, "extend": 2}


def draw_walk(seed: int, steps: int, machine: type[SaleMachine] = SaleMachine) -> Walk:
    """The walk of this seed."""
    draw = random.Random(seed)
    names = sorted(machine.arguments)
    # Some rules are left out, others come often: no two sales are alike in what goes wrong.
    weights = [_OFTEN.get(name, draw.choice([0, 0.5, 1, 2])) for name in names]
    rules = draw.choices(names, weights, k=steps)
    drawn = [Step(name, draw.choice(machine.arguments[name])) for name in rules]
    return Walk(seed, draw.choice(OFFERS), drawn)


def first_failure(
    seeds: Iterable[int], steps: int, machine: type[SaleMachine] = SaleMachine
) -> int | None:
    """The seed of the first walk on which a promise is broken."""
    return next((s for s in seeds if draw_walk(s, steps, machine).play(machine) is not None), None)


def made_small(walk: Walk, machine: type[SaleMachine]) -> Walk:
    """The same failure in fewer steps: whatever can be left out of it is."""
    length = len(walk.steps)
    while length:
        start = 0
        while start < len(walk.steps):
            rest = walk._replace(steps=[*walk.steps[:start], *walk.steps[start + length :]])
            if rest.play(machine) is not None:
                walk = rest
            else:
                start += length
        length //= 2
    return walk
