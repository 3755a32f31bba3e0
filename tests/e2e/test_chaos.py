"""A short run of scripts/chaos with a fixed seed: one fault of each kind that matters most, then all is equal."""

from chaos.run import SETTINGS, Plan, run

FAULTS = [
    "kill-owner", "freeze-owner", "restart-kafka", "restart-datanode", "restart-postgres", "swallow-namenode",
    "swallow-postgres", "kill-backends"]
SECONDS = 35


def test_a_fixed_schedule_of_faults_ends_equal(new_bench, seed):
    bench = new_bench(lake="hdfs", **SETTINGS)
    steps = run(bench, Plan(seed, SECONDS, FAULTS))
    assert {step.kind.name for step in steps} == set(FAULTS), "some fault of the list found no room in the schedule"
