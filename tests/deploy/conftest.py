import pytest

from tests.e2e.checkpoints import SMALL, untrained


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A network that has learned nothing, as a file."""
    return untrained(tmp_path_factory.mktemp("models") / "tiny.safetensors", SMALL)
