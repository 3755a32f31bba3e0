"""When which fault begins and ends: pure, so that the same seed gives the same schedule, printable before the run."""

import random
from dataclasses import dataclass

# Time for a part to recover before the next fault touches it, in seconds.
REST = 6.0
# Pause between the beginnings of two faults.
PAUSE = (0.5, 5.0)
# A run begins undisturbed, so that there is something to lose.
CALM = 2.0


@dataclass(frozen=True)
class Kind:
    """What a plan must know of a fault: the parts that it touches, and how long it lasts at least and at most."""

    name: str
    touches: frozenset
    lasts: tuple


@dataclass(frozen=True)
class Step:
    at: float
    until: float
    kind: Kind

    def __str__(self):
        return f"{self.at:7.1f} s  {self.until - self.at:5.1f} s  {self.kind.name}"


def schedule(seed, seconds, kinds):
    """Steps that end within `seconds`, by beginning. All kinds come in turn, shuffled anew for each round; no two faults
    touch the same part at the same time, nor within REST of each other."""
    chance = random.Random(f"chaos/{seed}")
    free, steps, now, waiting = {}, [], CALM, []
    while True:
        waiting = waiting or chance.sample(kinds, len(kinds))
        kind = waiting.pop(0)
        at = max(now, *(free.get(part, 0.0) for part in kind.touches))
        until = at + chance.uniform(*kind.lasts)
        if until > seconds:
            return sorted(steps, key=lambda step: step.at)
        steps.append(Step(at, until, kind))
        free.update(dict.fromkeys(kind.touches, until + REST))
        now += chance.uniform(*PAUSE)


def conflicts(steps):
    """Pairs of steps that touch the same part too close to each other; none in a schedule."""
    return [
        (a, b) for i, a in enumerate(steps) for b in steps[i + 1:]
        if a.kind.touches & b.kind.touches and a.at < b.until + REST and b.at < a.until + REST]
