"""The section "Deploy" of the README names what there is."""

import re

from midigpt.server.environment import with_environment
from midigpt.server.settings import Settings
from tests.e2e.servers import ROOT

README = (ROOT / "README.md").read_text()
[DEPLOY] = re.findall(r"^## Deploy\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)


def test_its_files_are_there():
    named = set(re.findall(r"deploy/[a-z/.]+[a-z]", DEPLOY))
    assert len(named) > 4
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_its_targets_are_there():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"\bmake ([a-z-]+)\b", DEPLOY)) - {"bento"}
    assert named == {"image", "image-test", "serve"}
    for target in {*named, "bento"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_its_variables_are_understood():
    named = set(re.findall(r"MIDIGPT_[A-Z_]+", DEPLOY))
    for variable in named:
        assert with_environment(Settings(), {variable: "7"}) != Settings()
