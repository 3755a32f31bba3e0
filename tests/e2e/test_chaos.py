"""A short run of scripts/chaos with a fixed seed: a fault of each kind that matters most, then all is equal."""

import pytest

from chaos import nemesis
from chaos.run import SETTINGS, Plan, run
from chaos.schedule import conflicts, schedule

FAULTS = [
    "kill-owner", "freeze-owner", "restart-kafka", "restart-datanode", "restart-postgres", "swallow-namenode",
    "kill-backends", "clock-jump"]
SECONDS = 30


@pytest.mark.alone
def test_a_fixed_schedule_of_faults_ends_equal(new_bench, seed):
    bench = new_bench(lake="hdfs", **SETTINGS)
    steps = run(bench, Plan(seed, SECONDS, FAULTS))
    if seed == 1:
        assert {step.kind.name for step in steps} == set(FAULTS), "a fault of the list found no room in the schedule"


@pytest.mark.parametrize("names", [FAULTS, []], ids=["short", "all"])
def test_a_schedule_is_its_seed_s_and_keeps_faults_of_one_part_apart(names):
    kinds = nemesis.kinds(names)
    for seed in range(200):
        steps = schedule(seed, 300, kinds)
        assert steps == schedule(seed, 300, kinds)
        assert {step.kind for step in steps} == set(kinds), f"seed {seed} leaves kinds out"
        assert not conflicts(steps), f"seed {seed}"
        assert steps[-1].until <= 300
    assert schedule(1, 300, kinds) != schedule(2, 300, kinds)
