"""The starter's recipe is a folder of scripts, not a package: its modules lie in that folder."""

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "models" / "starter"
sys.path.insert(0, str(FOLDER))


@pytest.fixture(scope="session")
def language():
    from corpus import starter_language

    return starter_language()
