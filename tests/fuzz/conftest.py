"""A server to be mistreated, watched by a process that only asks for its health."""

from statistics import quantiles

import pytest
from hypothesis import settings

from tests.e2e.checkpoints import SMALL, untrained
from tests.e2e.servers import served
from tests.fuzz.watch import LONGEST_S, Watch

settings.register_profile("fuzz", print_blob=True)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server that answers soon: a network as small as can be, and a time limit."""
    home = tmp_path_factory.mktemp("fuzz")
    size = {"n_positions": 256, "n_embd": 16, "n_layer": 1, "n_head": 1}
    checkpoint = untrained(home / "tiny.safetensors", SMALL, **size)
    flags = ["--ckpt", str(checkpoint), "--max-generation-seconds", "0.05"]
    with served(home, *flags) as server:
        yield server


@pytest.fixture(scope="session")
def watch(server):
    watch = Watch(server.url)
    yield watch
    watch.end()


@pytest.fixture
def stays_healthy(watch):
    """The server answers others all the while; one time in twenty the machine may be to blame."""
    watch.seconds()
    yield
    seconds = watch.seconds()
    assert quantiles([*seconds, 0, 0], n=20, method="inclusive")[-1] < LONGEST_S, seconds
