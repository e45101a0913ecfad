import yaml
from bentoml._internal.cloud.schemas.schemasv2 import CreateDeploymentSchema
from bentoml._internal.utils.cattr import bentoml_cattr

from tests.e2e.servers import ROOT

DEPLOYMENT = yaml.safe_load((ROOT / "deploy/bentocloud/deployment.yaml").read_text())


def test_bentoml_understands_all_of_the_deployment():
    understood = bentoml_cattr.structure(DEPLOYMENT, CreateDeploymentSchema)
    assert bentoml_cattr.unstructure(understood) == DEPLOYMENT


def test_it_deploys_our_service():
    assert DEPLOYMENT["bento"] == "midigpt:latest"
    assert list(DEPLOYMENT["services"]) == ["midigpt"]
