"""What the documentation tells to type works: the guides are run from top to bottom on the run's servers, README's and the
other pages' blocks too, and a command that no test runs must be named here with the reason."""

import os
import re
import signal
import subprocess
from contextlib import suppress

from program import ROOT, binary, free_port

GUIDES = ("FIRST-HOUR", "TOUR")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# Commands that are not run here, by their first word, and why.
NOT_RUN = {
    "cargo": "builds; the run of the tests has built",
    "export": "sets where a guide's servers are, or the path",
    "docker": "no container engine runs here; tests/deploy looks at the files",
    "kubectl": "no cluster runs here; tests/deploy looks at the files",
    "systemctl": "no service manager runs here; tests/deploy looks at the unit",
    "hdfs": "Hadoop's own command line; needs the cluster's configuration",
    "scripts/demo": "builds, then `lakeward demo`, which tests/cli.rs runs",
    "scripts/test": "runs this",
    "scripts/soak": "runs this, longer",
    "scripts/chaos": "test_chaos runs it",
    "scripts/services/up": "has started the servers of this run",
    "scripts/services/down": "will stop them",
}
LANGUAGES = ("toml", "text", "json", "python", "sql")


def blocks(page):
    """(language, text) of a page's code blocks; "" for one that is indented."""
    text = page.read_text()
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield language, body
    text = re.sub(r"^```.*?^```\n", "", text, flags=re.MULTILINE | re.DOTALL)
    for body in re.findall(r"(?<=\n\n)(?:    .*\n|\n(?=    ))+", text):
        yield "", re.sub(r"^    ", "", body, flags=re.MULTILINE)


class Shell:
    """A folder in which a guide is followed, with `lakeward` on the path."""

    def __init__(self, folder, **variables):
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "bin" / "lakeward").symlink_to(binary())
        (folder / "here").mkdir()
        kept = {key: value for key, value in os.environ.items()
                if not key.startswith("LAKEWARD_") and not key.lower().endswith("_proxy")}
        self.environment = {**kept, "PATH": f"{folder}/bin:{kept['PATH']}", "PAGER": "cat", **variables}

    def run(self, script, seconds=180):
        """All output of a script that must end well, with each of its commands in it."""
        log = self.folder / "log"
        with open(log, "wb") as output:
            process = subprocess.Popen(["bash", "-euxo", "pipefail", "-c", script], cwd=self.folder / "here", stdout=output,
                                       stderr=subprocess.STDOUT, env=self.environment, start_new_session=True)
        try:
            code = process.wait(seconds)
            text = log.read_text(errors="replace")
            assert code == 0, f"exit {code}\n{text[-6000:]}"
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not within {seconds} s\n{log.read_text(errors='replace')[-6000:]}") from None
        finally:
            # A guide that failed leaves what it had started.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return text


def guide(name, settings):
    """A guide as one script, in which the variables of `settings` are set by the test."""
    script = "".join(body for language, body in blocks(ROOT / "docs" / f"{name}.md") if language == "sh")
    for variable in settings:
        script, count = re.subn(rf"^export {variable}=.*\n", "", script, flags=re.MULTILINE)
        assert count == 1, f"{name} sets {variable} {count} times"
    assert "localhost" not in script and "127.0.0.1" not in script, "an address that no variable holds"
    return script


def settings(bench, **more):
    return {"KAFKA": bench.servers.kafka, "MART": bench.mart_url, "LAKE": bench.lake_url, "TOPIC": bench.topic,
            "HTTP": f"127.0.0.1:{free_port()}", **more}


def test_the_first_hour_leads_from_a_demo_to_ones_own_topic(new_bench, tmp_path):
    bench = new_bench()
    given = settings(bench)
    told = Shell(tmp_path, **given).run(guide("FIRST-HOUR", given))
    draft = (tmp_path / "here" / "first.toml").read_text()
    assert "It takes all of them" in draft and 'Quantity = "int64!"' in draft, draft
    for sign in ("Dashboard: http://", "20000 records read", "change: nothing is there yet", '"role":"owner"', "nothing is broken",
                 "change: taken up", "from their first full window on: per_hour"):
        assert sign in told, f"{sign}\n{told[-6000:]}"
    assert bench.committed_offsets() == {} and not [p for p in bench.lake.files("") if "parquet" in p]


def test_the_tour_shows_eight_things_and_survives_a_kill(new_bench, tmp_path):
    bench = new_bench(lake="hdfs")
    given = settings(bench, WEBHDFS=bench.servers.webhdfs)
    told = Shell(tmp_path, **given).run(guide("TOUR", given))
    for sign in ('"actors":[{', '"pathSuffix":"part-', "NOT_UTF8", "nothing is broken", "lakeward top"):
        assert sign in told, f"{sign}\n{told[-6000:]}"
    page = (ROOT / "docs" / "TOUR.md").read_text()
    assert [int(step) for step in re.findall(r"^## (\d)\. ", page, re.MULTILINE)] == list(range(1, 9))


def test_what_the_readme_and_other_pages_tell_to_type_works(new_bench, tmp_path):
    bench = new_bench(mart="sqlite")
    script = ""
    for name in ("README.md", "docs/VERIFY.md"):
        typed = re.compile(r"^(?:target/release/)?lakeward |^cat > lakeward.toml", re.MULTILINE)
        script += "".join(body for _, body in blocks(ROOT / name) if typed.search(body))
    places = {"localhost:9092": bench.servers.kafka, "file:///tmp/lake": bench.lake_url, "sqlite:///tmp/mart.db": bench.mart_url,
              "target/release/lakeward": "lakeward"}
    for place, here in places.items():
        assert place in script, place
        script = script.replace(place, here)
    script = re.sub(r"^cargo .*\n|^scripts/.*\n|^docker .*\n", "", script, flags=re.MULTILINE).replace("--events 100000", "--events 5000")
    here = Shell(tmp_path, LAKEWARD_KAFKA_TOPIC=bench.topic, LAKEWARD_HTTP_LISTEN=f"127.0.0.1:{free_port()}")
    told = here.run(script)
    assert told.count("nothing is broken") == 2 and '"broken":[]' in told


def commands(page):
    """Command lines of a page's blocks that no guide holds, in a text that can be looked at word by word."""
    for language, body in blocks(page):
        if language in LANGUAGES or re.match(r"\s*(?:select |\w+ = |http|<)", body):
            continue
        body = re.sub(r"^.*<<'?END'?\n.*?^END\n", "", body, flags=re.MULTILINE | re.DOTALL)
        yield from (line for line in body.splitlines() if re.match(r"[a-z./]+[a-z]+(/[a-z]+)* |scripts/", line))


def test_every_command_line_is_run_or_named_as_not_run():
    """Those of the two guides, of README and VERIFY above; `lakeward` of the pages about trouble by test_troubleshooting."""
    run = {ROOT / "README.md", ROOT / "docs" / "VERIFY.md", *(ROOT / "docs" / f"{name}.md" for name in GUIDES)}
    by_trouble = {ROOT / "docs" / f"{name}.md" for name in ("TROUBLESHOOTING", "RUNBOOK")}
    unknown = []
    for page in PAGES:
        for line in commands(page):
            word = line.split()[0]
            ours = word in ("lakeward", "target/release/lakeward", "curl")
            if not (word in NOT_RUN or page in run and (ours or page.stem in GUIDES) or page in by_trouble and ours):
                unknown.append(f"{page.name}: {line}")
    # What stands within a sentence and begins like a command.
    inline = re.compile(r"`((?:docker|kubectl|systemctl|hdfs|scripts/\w+|cargo|psql|curl)(?: [^`]*)?)`")
    for page in PAGES:
        for command in inline.findall(page.read_text()):
            word = command.split()[0]
            if word not in NOT_RUN and word not in ("psql", "curl") and not (ROOT / word).exists():
                unknown.append(f"{page.name}: {command}")
    assert not unknown, "\n".join(unknown)


def test_every_lakeward_command_that_is_named_exists_with_its_options():
    def usage(*words):
        asked = subprocess.run([binary(), *words, "--help"], capture_output=True, text=True, check=False)
        return asked.stdout if asked.returncode == 0 else ""

    top, seen, wrong = usage(), {}, []
    names = set(re.findall(r"^  (\w[\w-]*) ", top.split("Commands:")[1].split("Options:")[0], re.MULTILINE))
    assert len(names) > 15
    for page in PAGES:
        for text in re.findall(r"`(?:target/release/)?lakeward ([^`]*)`|^    (?:target/release/)?lakeward (.*)$", page.read_text(), re.MULTILINE):
            words = "".join(text).split("#")[0].split()
            if not words or words[0].startswith("-"):
                continue
            path = tuple(words[:2] if words[0] == "quarantine" and len(words) > 1 else words[:1])
            if path not in seen:
                seen[path] = usage(*path) if path[0] in names else ""
            options = [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]
            wrong += [f"{page.name}: lakeward {' '.join(words)}" for option in options or [""] if option not in seen[path] or not seen[path]]
    assert not wrong, "\n".join(wrong)
