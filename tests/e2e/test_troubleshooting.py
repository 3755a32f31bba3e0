"""docs/TROUBLESHOOTING.md and docs/RUNBOOK.md are true: what they quote the program says, what they tell to type it takes, and
the first answers are walked through."""

import re
import shlex

import pytest

from program import ROOT, wait_until

PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("TROUBLESHOOTING", "RUNBOOK")}
PIPELINE = "amazon-sales"


@pytest.fixture
def make(new_bench):
    """The built-in pipeline on a topic, a lake and a mart of its own."""
    def made():
        bench = new_bench(mart="sqlite")
        bench.settings["LAKEWARD_KAFKA_TOPIC"] = bench.topic
        bench.pipeline = PIPELINE
        return bench

    return made


@pytest.fixture
def bench(make):
    return make()


def type_in(bench, command):
    """(exit code, output) of a command line as the pages spell it."""
    process = bench._process(shlex.split(command)[1:], {})
    return process.code(60), process.log()


def test_what_the_pages_quote_is_what_the_program_says():
    code = "".join(path.read_text() for folder in ("src", "actors", "crates") for path in (ROOT / folder).rglob("*.rs"))
    # A text may go on in the next line of the source.
    code = re.sub(r"\\\n\s*", "", code)
    quoted = {phrase for page in PAGES.values() for phrase in re.findall(r"\"([^\"`\n]{12,})\"", page)}
    quoted |= set(re.findall(r"`(the generation \w+(?: \w+)*|creating the entry[^`]*|the epoch waits|a follower died)`", PAGES["RUNBOOK"]))
    assert len(quoted) > 10
    unknown = {phrase for phrase in quoted if phrase not in code}
    assert not unknown


def test_settings_and_metrics_that_the_pages_name_exist():
    known = "".join((ROOT / "docs" / f"{name}.md").read_text() for name in ("CONFIGURATION", "METRICS", "PIPELINES"))
    reference = (ROOT / "docs" / "CONFIGURATION.md").read_text()
    sections = set(re.findall(r"^## `\[(\w+)\]`", reference, re.MULTILINE))
    for page in PAGES.values():
        for section, key in re.findall(r"`(\w+)\.(\w+)\b[^`]*`", page):
            if section in sections:
                assert f"| `{key}` |" in reference, f"no setting {section}.{key}"
        for metric in re.findall(r"`(lakeward_\w+)", page):
            assert f"`{metric}`" in known, metric


def test_every_command_of_the_pages_is_taken(bench):
    commands = {command.replace("PIPELINE", PIPELINE) for page in PAGES.values()
                for command in re.findall(r"(?:`|^    )(lakeward [a-z]+ (?:[a-z]+ )?(?:PIPELINE|amazon-sales)[^`\n#]*)",
                                          page.replace("\n--", " --").replace("amazon-sales\n  --", "amazon-sales --"),
                                          re.MULTILINE)}
    assert len(commands) > 10
    # First what makes something to look at; `reset` takes it away and has tests of its own.
    order = sorted(commands, key=lambda command: ("generate" not in command, " run " not in command, command))
    for command in order:
        spelt = command.replace("peek amazon-sales", f"peek {bench.topic}").replace("CODE", "NOT_JSON")
        code, output = type_in(bench, spelt)
        assert code in (0, 1), f"{command}: {code}\n{output}"


def gold(bench):
    return bench.lake.files("gold/amazon_sales_aggregated")


def test_gold_is_empty_until_later_events_close_the_windows(bench, make):
    type_in(bench, f"lakeward generate {PIPELINE} --events 300")
    code, output = type_in(bench, f"lakeward run {PIPELINE} --once")
    assert code == 0 and "stay open: that is the watermark of partition" in output
    assert not gold(bench)
    code, output = type_in(bench, f"lakeward tail {PIPELINE} --table kpi_1min -n 3")
    assert code == 0 and output.count('"is_final":false') == 3
    spread = make()
    type_in(spread, f"lakeward generate {PIPELINE} --events 3000 --span 30m")
    type_in(spread, f"lakeward run {PIPELINE} --once")
    assert gold(spread)


def test_counts_are_0_where_every_record_is_refused_and_the_reasons_are_told(bench):
    type_in(bench, f"lakeward generate {PIPELINE} --events 300 --bad 1")
    code, output = type_in(bench, f"lakeward run {PIPELINE} --once")
    assert code == 0 and "300 records read = 0 kept" in output and "300 quarantined" in output
    code, output = type_in(bench, f"lakeward quarantine list {PIPELINE}")
    assert code == 0 and "MISSING_FIELD" in output and "300 records" in output


def test_a_second_process_says_that_it_stands_by(bench):
    first = bench.start()
    first.wait_for_role("owner", 30)
    second = bench.start()
    wait_until(lambda: "standing by: another process owns the pipeline" in second.log(), 30, second.tail)
    assert second.role() == "standby"
    first.stop()
    second.wait_for_role("owner", 30)
    second.stop()
