"""The manifests of ``deploy/kubernetes``, read once."""

import yaml

from tests.e2e.servers import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
FILES = [name for name in KUSTOMIZATION["resources"] if name.endswith(".yaml")]
MANIFESTS = [
    manifest for name in FILES for manifest in yaml.safe_load_all((FOLDER / name).read_text())
]


def find(kind, name):
    """The manifest of that kind and name."""
    [found] = [
        manifest
        for manifest in MANIFESTS
        if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name)
    ]
    return found


SERVERS = find("Deployment", "midigpt-servers")["spec"]["template"]
DOOR = find("Deployment", "midigpt")["spec"]["template"]
[SERVER] = SERVERS["spec"]["containers"]
[NGINX] = DOOR["spec"]["containers"]


def pre_stop():
    """The command that a server's pod runs before it ends."""
    return SERVER["lifecycle"]["preStop"]["exec"]["command"]
