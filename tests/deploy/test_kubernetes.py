"""The manifests are valid, fit each other, and say the same as the program's configuration. tests/e2e/test_stack.py runs the
program with what they configure."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from files import ROOT, duration, read_yaml

FOLDER = ROOT / "deploy" / "k8s"
KUSTOMIZATION = read_yaml("deploy/k8s/kustomization.yaml")
RESOURCES = {document["kind"]: document for name in KUSTOMIZATION["resources"]
             for document in yaml.safe_load_all((FOLDER / name).read_text())}
MONITOR = read_yaml("deploy/k8s/monitoring/podmonitor.yaml")
POD = RESOURCES["Deployment"]["spec"]["template"]
[CONTAINER] = POD["spec"]["containers"]
CONFIG = tomllib.loads((FOLDER / "lakeward.toml").read_text())
# The oldest that a supported cluster may be, and the newest that the checker knows.
VERSIONS = ("1.31", "1.37")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_resource_is_valid(version):
    tool = Path(sys.executable).with_name("kubernetes-validate")
    files = [FOLDER / name for name in KUSTOMIZATION["resources"]]
    done = subprocess.run([tool, "--strict", "-k", version, *files], capture_output=True, text=True)
    told = done.stdout + done.stderr
    assert done.returncode == 0 and told.count(" passed for resource") == len(files), told


def test_every_file_belongs_to_a_kustomization():
    listed = {FOLDER / name for name in KUSTOMIZATION["resources"]} | {FOLDER / "kustomization.yaml"}
    listed |= {FOLDER / name for generator in KUSTOMIZATION["configMapGenerator"] for name in generator["files"]}
    monitoring = read_yaml("deploy/k8s/monitoring/kustomization.yaml")
    listed |= {FOLDER / "monitoring" / name for name in [*monitoring["resources"], "kustomization.yaml"]}
    assert {path for path in FOLDER.rglob("*") if path.is_file()} == listed
    assert monitoring["namespace"] == KUSTOMIZATION["namespace"]


def test_every_selector_finds_the_pods():
    labels = POD["metadata"]["labels"].items()
    spread = [one["labelSelector"]["matchLabels"] for one in POD["spec"]["topologySpreadConstraints"]]
    selectors = [RESOURCES["Deployment"]["spec"]["selector"]["matchLabels"], RESOURCES["Service"]["spec"]["selector"],
                 RESOURCES["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
                 RESOURCES["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
                 MONITOR["spec"]["selector"]["matchLabels"], *spread]
    for selector in selectors:
        assert selector and selector.items() <= labels


def test_probes_ask_for_pages_that_the_program_serves_on_its_port():
    [port] = CONTAINER["ports"]
    assert CONFIG["http"]["listen"] == f"0.0.0.0:{port['containerPort']}"
    served = "".join(path.read_text() for path in (ROOT / "src").rglob("http*/**/*.rs")) + _http()
    pages = {probe: CONTAINER[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert pages == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for probe, page in pages.items():
        assert CONTAINER[probe]["httpGet"]["port"] == port["name"] and f'"{page}"' in served
    [endpoint] = MONITOR["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == port["name"] and f'"{endpoint["path"]}"' in served
    [service] = RESOURCES["Service"]["spec"]["ports"]
    assert service["targetPort"] == port["name"] and service["port"] == port["containerPort"]


def _http():
    single = ROOT / "src" / "http.rs"
    return single.read_text() if single.exists() else ""


def test_the_monitor_gives_the_job_the_name_that_alerts_know():
    rules = (ROOT / "deploy/prometheus/rules/alerts.yml").read_text()
    job = POD["metadata"]["labels"][MONITOR["spec"]["jobLabel"]]
    assert set(re.findall(r'job="(\w+)"', rules)) == {job}
    assert MONITOR["spec"].keys() <= {"jobLabel", "selector", "podMetricsEndpoints"}
    assert MONITOR["spec"]["podMetricsEndpoints"][0].keys() <= {"port", "path", "interval", "scrapeTimeout"}


def test_a_start_and_a_stop_are_given_longer_than_the_program_takes():
    page = (ROOT / "docs" / "CONFIGURATION.md").read_text()
    default = lambda name: duration(re.search(rf"\| `{name}` \| duration \| `(\w+)`", page)[1])
    assert POD["spec"]["terminationGracePeriodSeconds"] > default("bound") + 10
    probe = CONTAINER["startupProbe"]
    # Lake, its promises, Kafka and the mart are waited for one after the other.
    assert probe["periodSeconds"] * probe["failureThreshold"] > 4 * default("patience")


def test_configuration_and_secrets_are_mounted_where_they_are_read():
    mounts = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in POD["spec"]["volumes"]}
    assert mounts.keys() == volumes.keys()
    [generated] = KUSTOMIZATION["configMapGenerator"]
    assert volumes["config"]["configMap"]["name"] == generated["name"]
    assert CONTAINER["args"][:2] == ["--config", f"{mounts['config']}/{generated['files'][0]}"]
    secret = volumes["secrets"]["secret"]
    assert secret["defaultMode"] & 0o007 == 0, "others may read the secrets: the program refuses them"
    read = set(re.findall(r"\$\{file:([^}]+)\}", str(CONFIG)))
    told = (FOLDER / "kustomization.yaml").read_text()
    made = set(re.findall(r"--from-literal=([\w-]+)=", told))
    assert read == {f"{mounts['secrets']}/{name}" for name in made}
    assert f"create secret generic {secret['secretName']} " in told


def test_the_pipeline_and_the_image_exist():
    pipeline = CONTAINER["args"][-1]
    assert CONTAINER["args"][-2] == "run" and (ROOT / "pipelines" / f"{pipeline}.toml").exists()
    [image] = KUSTOMIZATION["images"]
    assert image["name"] == CONTAINER["image"] and image["newTag"] != "latest"
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "deploy/docker/Dockerfile").read_text(), re.MULTILINE)
    security = POD["spec"]["securityContext"]
    assert (int(user[1]), int(user[2])) == (security["runAsUser"], security["runAsGroup"])
    assert security["runAsNonRoot"] and security["fsGroup"] == security["runAsGroup"]


def test_the_servers_of_the_configuration_can_be_reached_through_the_network_policy():
    allowed = {port["port"] for rule in RESOURCES["NetworkPolicy"]["spec"]["egress"] for port in rule["ports"]}
    urls = [CONFIG["kafka"]["brokers"], CONFIG["lake"]["url"], CONFIG["mart"]["url"]]
    asked = {int(re.search(r":(\d+)(?:/|$)", url)[1]) for url in urls}
    assert asked | {53, 9866} == allowed
    [rule] = RESOURCES["NetworkPolicy"]["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": CONTAINER["ports"][0]["name"]}]


def test_memory_is_what_was_measured_and_what_is_configured():
    """README: peak in MB; the limit has room for the state's cap above it."""
    peak = max(int(n) for n in re.search(r"at most (\d+) and (\d+) MB of memory", (ROOT / "README.md").read_text()).groups())
    unit = {"Mi": 1 << 20, "Gi": 1 << 30}
    size = lambda text: int(text[:-2]) * unit[text[-2:]]
    request, limit = (size(CONTAINER["resources"][kind]["memory"]) for kind in ("requests", "limits"))
    assert request > peak * 10**6 and limit > peak * 10**6 + (1 << 30)


def test_one_pod_stands_by():
    assert RESOURCES["Deployment"]["spec"]["replicas"] == 2 > RESOURCES["PodDisruptionBudget"]["spec"]["minAvailable"]
