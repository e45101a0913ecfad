"""The manifests: valid, and in agreement with the server and with each other."""

import re
import shutil
import subprocess

import kubernetes_validate
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from midigpt.server.environment import with_environment
from midigpt.server.metrics import Metrics
from midigpt.server.service import GRACE_S, LAST_WORDS_S
from midigpt.server.settings import Settings
from tests.deploy.manifests import (
    DOOR,
    FILES,
    FOLDER,
    KUSTOMIZATION,
    MANIFESTS,
    NGINX,
    SERVER,
    SERVERS,
    find,
    pre_stop,
)
from tests.e2e.servers import ROOT

OLDEST, NEWEST = "1.30", kubernetes_validate.latest_version()


def identity(manifest):
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


def validate(manifest, version):
    """Unknown and repeated members are errors too."""
    kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("manifest", MANIFESTS, ids=identity)
def test_each_is_valid(manifest, version):
    validate(manifest, version)


def test_all_files_are_applied():
    assert sorted(FILES) == sorted(
        path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml"
    )


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is missing")
def test_what_kubectl_makes_of_them_is_valid_too():
    command = ["kubectl", "kustomize", str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    manifests = {identity(manifest): manifest for manifest in yaml.safe_load_all(done.stdout)}
    for manifest in manifests.values():
        validate(manifest, NEWEST)
    assert len(manifests) == len(MANIFESTS) + 1
    [nginx] = [manifest for name, manifest in manifests.items() if name.startswith("ConfigMap-")]
    assert nginx["data"] == {
        "nginx.conf": (ROOT / "deploy/nginx/nginx.conf").read_text(),
        "servers.conf": (FOLDER / "servers.conf").read_text(),
    }
    [volume, _] = manifests["Deployment-midigpt"]["spec"]["template"]["spec"]["volumes"]
    assert volume["configMap"]["name"] == nginx["metadata"]["name"]


def test_selectors_find_what_they_are_for():
    targets = {"midigpt-servers": SERVERS, "midigpt": DOOR}
    for manifest in MANIFESTS:
        spec = manifest.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector")
        if selector is not None:
            labels = targets[manifest["metadata"]["name"]]["metadata"]["labels"]
            assert selector.get("matchLabels", selector) == labels


def test_only_the_door_reaches_the_servers():
    policy = find("NetworkPolicy", "midigpt-servers")["spec"]
    [rule] = policy["ingress"]
    door, monitoring = rule["from"]
    assert door == {"podSelector": {"matchLabels": DOOR["metadata"]["labels"]}}
    assert list(monitoring) == ["namespaceSelector"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy


def test_the_door_asks_the_servers_where_they_are():
    [address] = re.findall(r"^ +server (\S+)", (FOLDER / "servers.conf").read_text(), re.MULTILINE)
    host, port = address.split(":")
    name, namespace, *rest = host.split(".")
    service = find("Service", name)
    assert service["spec"]["clusterIP"] == "None"
    assert (
        namespace == KUSTOMIZATION["namespace"] == find("Namespace", "midigpt")["metadata"]["name"]
    )
    assert rest == ["svc", "cluster", "local"]
    assert int(port) == service["spec"]["ports"][0]["port"] == SERVER["ports"][0]["containerPort"]


def test_nginx_listens_where_it_is_expected():
    [port] = re.findall(r"listen (\d+);", (ROOT / "deploy/nginx/nginx.conf").read_text())
    assert int(port) == NGINX["ports"][0]["containerPort"]


def test_probes():
    assert {
        kind: SERVER[kind]["httpGet"]["path"]
        for kind in ("startupProbe", "readinessProbe", "livenessProbe")
    } == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    startup = SERVER["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300


def settings():
    """What the server is told, as it understands it."""
    environ = {variable["name"]: variable.get("value", "") for variable in SERVER["env"]}
    return with_environment(Settings(), environ)


def test_what_the_server_is_told():
    assert settings() == Settings(device="cuda", max_generation_seconds=120)
    # BentoML would not pass arguments on
    assert "args" not in SERVER


def test_there_is_time_to_end():
    script = pre_stop()[-1]
    waiting = int(re.search(r"monotonic\(\) \+ (\d+)", script)[1])
    spreading = int(re.search(r"sleep\((\d+)\)", script)[1])
    # a generation that has begun, or begins until all know, ends by itself
    assert waiting >= spreading + settings().max_generation_seconds
    ending = GRACE_S + 2 * LAST_WORDS_S
    assert SERVERS["spec"]["terminationGracePeriodSeconds"] >= waiting + ending
    assert DOOR["spec"]["terminationGracePeriodSeconds"] >= waiting + ending


def test_the_metric_of_the_autoscaler_is_one_of_ours():
    [metric] = find("HorizontalPodAutoscaler", "midigpt-servers")["spec"]["metrics"]
    page = Metrics(["tiny"]).page().body.decode()
    types = {family.name: family.type for family in text_string_to_metric_families(page)}
    assert types[metric["pods"]["metric"]["name"]] == "gauge"


def test_what_is_scaled_and_kept_is_there():
    target = find("HorizontalPodAutoscaler", "midigpt-servers")["spec"]["scaleTargetRef"]
    deployment = find(target["kind"], target["name"])
    assert target["apiVersion"] == deployment["apiVersion"]
    # it would be set back with every change of the file
    assert "replicas" not in deployment["spec"]


def test_prometheus_finds_the_servers():
    annotations = SERVERS["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "true"
    assert int(annotations["prometheus.io/port"]) == SERVER["ports"][0]["containerPort"]


@pytest.mark.parametrize("pod", [SERVERS, DOOR], ids=["servers", "door"])
def test_nothing_more_is_allowed_than_needed(pod):
    spec = pod["spec"]
    [container] = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
