import pytest
import torch

from midigpt.inference.language import Language
from midigpt.model import GPT2Config, GPT2LMHeadModel, save_checkpoint
from tests.e2e.servers import served

ENCODER = {
    "resolution": 12,
    "decode_resolution": 1920,
    "supports_infill": True,
    "num_bars_map": [4, 8],
    "time_signatures": ["4/4", "3/4"],
    "attribute_controls": [{"name": "note_density_quantile"}],
}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A network that has learned nothing, as a file."""
    vocabulary = Language.of(ENCODER).tokenizer.vocabulary
    config = GPT2Config(
        vocab_size=len(vocabulary), n_positions=2048, n_embd=64, n_layer=2, n_head=4
    )
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_checkpoint(path, GPT2LMHeadModel(config), ENCODER)
    return path


@pytest.fixture(scope="module")
def server(checkpoint, tmp_path_factory):
    with served(tmp_path_factory.mktemp("server"), "--ckpt", str(checkpoint)) as server:
        yield server


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client
