from importlib.metadata import requires
from pathlib import Path

import yaml

BENTO = yaml.safe_load((Path(__file__).parents[2] / "bentofile.yaml").read_text())


def test_a_bento_needs_what_the_package_needs():
    needed = [need for need in requires("midigpt") if "extra ==" not in need]
    assert sorted(map(parts, BENTO["python"]["packages"])) == sorted(map(parts, needed))


def parts(requirement):
    """The name and the bounds, in any order."""
    return sorted(requirement.replace(",", " ").replace("<", " <").replace(">", " >").split())


def test_a_bento_takes_its_files_with_it():
    root = Path(__file__).parents[2]
    assert all((root / name).exists() for name in BENTO["include"])
    assert "midigpt/" in BENTO["include"]
