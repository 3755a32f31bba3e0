"""The compose file and the image, as far as they can be judged without an engine: every file, port, variable, host and
health check that is named exists and fits. tests/e2e/test_stack.py runs what it describes as processes."""

import json
import os
import re
import subprocess

import pytest
from files import ROOT, duration, read_yaml

COMPOSE = read_yaml("docker-compose.yml")
SERVICES = COMPOSE["services"]
TEXT = (ROOT / "docker-compose.yml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
# What guides and other programs rely on: service -> ports on this machine.
PORTS = {
    "kafka": [9092], "namenode": [8020, 9870], "datanode": [], "postgres-mart": [5433], "lakeward": [8501],
    "producer-amazon": [], "prometheus": [9090], "grafana": [3001], "metabase": [3000], "minio": [9000, 9001],
    "minio-bucket": [], "redis": [6379],
}
# Ports that nobody names because the image listens on them by default.
BY_DEFAULT = {"datanode": {9864}, "kafka": {29092}}
WITHOUT_HEALTH = {"producer-amazon", "minio-bucket"}


def inside(name):
    """Ports that the service listens on in its network."""
    return {int(port.split(":")[2]) for port in SERVICES[name].get("ports", [])} | BY_DEFAULT.get(name, set())


def variables(name):
    return SERVICES[name].get("environment", {})


def health(name):
    test = SERVICES[name]["healthcheck"]["test"]
    return " ".join(test[1:])


def test_services_and_their_ports_are_those_that_guides_name_and_on_loopback_only():
    ports = {name: [port.split(":") for port in service.get("ports", [])] for name, service in SERVICES.items()}
    assert {host for mapped in ports.values() for host, _, _ in mapped} == {"127.0.0.1"}
    assert {name: sorted(int(port) for _, port, _ in mapped) for name, mapped in ports.items()} == PORTS


def test_images_are_pinned():
    for name, service in SERVICES.items():
        tag = service["image"].partition(":")[2]
        assert service["image"] == "lakeward" and "build" in service or re.search(r"\d+\.\d+|\d{4}-\d\d", tag), name


def test_what_is_not_there_yet_starts_by_profile_only():
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"metabase": ["metabase"], "minio": ["minio"], "minio-bucket": ["minio"], "redis": ["redis"]}
    for name in ("S3", "Redis"):
        assert f"Lakeward does not write to {name} yet" in TEXT


def test_files_and_volumes_exist():
    named = set()
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), source
                assert volume.endswith(":ro"), volume
            else:
                named.add(source)
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).exists()
    assert named == set(COMPOSE["volumes"])


def test_hosts_and_ports_that_are_named_are_those_of_services():
    texts = {f"environment of {name}": json.dumps([variables(name), SERVICES[name].get("command"),
                                                   SERVICES[name].get("entrypoint")]) for name in SERVICES}
    for file in ("deploy/prometheus/prometheus.yml", "grafana/provisioning/datasources/mart.yml",
                 "grafana/provisioning/datasources/prometheus.yml"):
        texts[file] = json.dumps(read_yaml(file))
    seen = set()
    for where, text in texts.items():
        for host, port in re.findall(r"(?<![\w.-])([a-z][a-z-]+):(\d{4,5})\b", text):
            if host in SERVICES:
                assert int(port) in inside(host) or (host, port) == ("kafka", "9093"), f"{where}: {host}:{port}"
                seen.add(host)
            else:
                assert host == "localhost", f"{where}: no service {host}"
    assert {"kafka", "namenode", "postgres-mart", "lakeward", "prometheus", "minio"} <= seen


def test_health_checks_ask_a_port_that_the_service_listens_on():
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == WITHOUT_HEALTH
    asked = {}
    for name in SERVICES.keys() - WITHOUT_HEALTH:
        asked[name] = {int(port) for port in re.findall(r"[:/](\d{4,5})\b", health(name))}
        assert asked[name] <= inside(name), f"{name}: {health(name)}"
    assert {name for name, ports in asked.items() if not ports} == {"namenode", "postgres-mart", "minio", "redis"}
    postgres = variables("postgres-mart")
    assert health("postgres-mart") == f"pg_isready -U {postgres['POSTGRES_USER']} -d {postgres['POSTGRES_DB']}"
    assert "/healthz" in health("lakeward") and variables("lakeward")["LAKEWARD_HTTP_LISTEN"].endswith(":8501")


def test_who_waits_for_a_healthy_service_waits_for_one_with_a_health_check():
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"} and "healthcheck" in SERVICES[other], f"{name} -> {other}"


def test_settings_of_the_program_exist_and_secrets_come_by_variables():
    page = (ROOT / "docs" / "CONFIGURATION.md").read_text()
    for name in ("lakeward", "producer-amazon"):
        for variable, value in variables(name).items():
            if variable.startswith("LAKEWARD_"):
                assert f"`{variable}`" in page, f"{name}: no setting {variable}"
            for secret in re.findall(r"\$\$\{env:(\w+)\}", str(value)):
                assert secret in variables(name), f"{name}: {variable} reads {secret}"


def test_a_stop_is_given_longer_than_the_program_takes():
    page = (ROOT / "docs" / "CONFIGURATION.md").read_text()
    bound = duration(re.search(r"\| `bound` \| duration \| `(\w+)`", page)[1])
    assert duration(SERVICES["lakeward"]["stop_grace_period"]) > bound + 10


def test_variables_of_the_file_are_in_the_example_and_the_other_way_round():
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", TEXT))
    offered = set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert used == offered, f"not in .env.example: {used - offered}; unused: {offered - used}"
    needed = set(re.findall(r"(?<!\$)\$\{(\w+):\?", TEXT))
    assert needed == set(re.findall(r"^([A-Z_]+)=$", EXAMPLE, re.MULTILINE)), "what has no value must be asked for"


def test_the_command_in_the_example_makes_a_token_and_a_password(tmp_path):
    [command] = re.findall(r"^#   (sed .*)$", EXAMPLE, re.MULTILINE)
    (tmp_path / ".env.example").write_text(EXAMPLE)
    subprocess.run(["bash", "-ec", command], cwd=tmp_path, check=True)
    made = dict(re.findall(r"^([A-Z_]+)=(.*)$", (tmp_path / ".env").read_text(), re.MULTILINE))
    assert re.fullmatch(r"[0-9a-f]{48}", made["LAKEWARD_HTTP_TOKEN"])
    assert re.fullmatch(r"[0-9a-f]{24}", made["GRAFANA_PASSWORD"])


def test_the_reader_of_the_mart_has_one_password_everywhere():
    given = {variables(name)["MART_READER_PASSWORD"] for name in ("postgres-mart", "grafana")}
    assert given == {"${MART_READER_PASSWORD:-reader}"}
    source = read_yaml("grafana/provisioning/datasources/mart.yml")["datasources"][0]
    assert source["secureJsonData"]["password"] == "$MART_READER_PASSWORD"
    assert f"create role {source['user']} " in (ROOT / "deploy/postgres/reader.sql").read_text()
    assert source["jsonData"]["database"] == variables("postgres-mart")["POSTGRES_DB"]
    mounted = [volume.split(":")[1] for volume in SERVICES["postgres-mart"]["volumes"]]
    script = ROOT / "deploy/postgres/10-reader.sh"
    assert os.access(script, os.X_OK) and re.search(r"-f (\S+)", script.read_text())[1] in mounted


def test_power_bi_is_pointed_at_the_mart():
    details = json.loads((ROOT / "deploy/powerbi/mart.pbids").read_text())["connections"][0]["details"]
    assert details["protocol"] == "postgresql"
    assert details["address"] == {"server": "localhost:5433", "database": variables("postgres-mart")["POSTGRES_DB"]}


DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "deploy/docker/Dockerfile").read_text())
STEPS = re.findall(r"^(FROM|COPY|RUN|ENV|USER|EXPOSE|STOPSIGNAL|ENTRYPOINT|CMD) (.*)$", DOCKERFILE, re.MULTILINE)


def copies(before=None):
    """(sources, target) of what is copied from the repository, up to the first step with the text `before`."""
    for kind, rest in STEPS:
        if before and before in rest:
            return
        if kind == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            yield sources, target


def sent_to_the_engine(path):
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "**" in lines
    return path == "." or any(path == line[1:] or path.startswith(line[1:] + "/") for line in lines if line.startswith("!"))


def test_what_the_image_copies_exists_and_is_sent_to_the_engine():
    for sources, _ in copies():
        for source in sources:
            assert (ROOT / source).exists(), source
            assert sent_to_the_engine(source), f".dockerignore leaves {source} out"
    embedded = re.compile(r'include_(?:str|bytes)!\("([^"]+)"\)')
    for file in [*ROOT.glob("src/**/*.rs"), *ROOT.glob("actors/**/*.rs"), *ROOT.glob("crates/*/src/**/*.rs")]:
        production = file.read_text().split("#[cfg(test)]")[0]
        for path in embedded.findall(production):
            inside = os.path.relpath((file.parent / path).resolve(), ROOT)
            assert file.name == "tests.rs" or sent_to_the_engine(inside), f"{file} embeds {inside}"


def test_dependencies_can_be_built_from_manifests_alone(tmp_path):
    """The layer that stays while only our own code changes, with the build replaced by cargo reading all manifests."""
    for sources, target in copies(before="cargo build"):
        for source in sources:
            place = tmp_path / target / os.path.basename(source) if target.endswith("/") else tmp_path / target
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes((ROOT / source).read_bytes())
    [script] = [rest for kind, rest in STEPS if kind == "RUN" and "cargo build" in rest][:1]
    script = re.sub(r"&& cargo build.*$", "", script)
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, check=True)
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    targets = {package["name"]: package["targets"] for package in json.loads(done.stdout)["packages"] if not package["source"]}
    assert {"lakeward", "lakeward-core", "lakeward-actors"} <= targets.keys()
    for name, of_package in targets.items():
        assert of_package and all(os.path.exists(target["src_path"]) for target in of_package), f"{name} has no source"


def test_the_image_is_built_by_the_pinned_toolchain_and_runs_as_nobody():
    channel = re.search(r'channel = "(.*)"', (ROOT / "rust-toolchain.toml").read_text())[1]
    build, final = [rest for kind, rest in STEPS if kind == "FROM"]
    assert build == f"rust:{channel}-bookworm AS build" and ("ENV", f"RUSTUP_TOOLCHAIN={channel}") in STEPS
    assert re.fullmatch(r"debian:12\.\d+-slim", final)
    steps = dict(STEPS)
    assert steps["USER"].split(":")[0] not in ("root", "0")
    assert int(steps["EXPOSE"]) in inside("lakeward") and steps["STOPSIGNAL"] == "SIGTERM"


@pytest.mark.parametrize("name", ["lakeward", "producer-amazon"])
def test_the_pipeline_that_is_run_is_built_in(name):
    command = SERVICES[name]["command"]
    assert command[0] in ("run", "generate") and (ROOT / "pipelines" / f"{command[1]}.toml").exists()
