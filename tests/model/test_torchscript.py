import json
import os
import pickle
import zipfile

import pytest
import torch
from torch.testing import assert_close

from midigpt.errors import CheckpointError
from midigpt.model import load_checkpoint
from midigpt.model.torchscript import ScriptedNetwork
from tests.model import scripted

# PyTorch 2.13 tells everybody to use something else than TorchScript.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")

ENCODER = {"resolution": 12}
TOKENS = torch.tensor([[3, 1, 4, 1, 5]])


def script(network, attention=scripted.Attn):
    program = scripted.Network(network.config, attention).eval()
    program.load_state_dict(network.state_dict())
    return torch.jit.script(program)


def trace(network):
    program = scripted.Network(network.config).eval()
    program.load_state_dict(network.state_dict())
    return torch.jit.trace(program, TOKENS)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(ENCODER))
    return tmp_path


@pytest.fixture
def rewrite(folder, network):
    """Writes an archive with other content for the members whose names end in certain ways."""

    def rewrite(changes, compression=zipfile.ZIP_STORED):
        script(network).save(folder / "original.pt")
        with (
            zipfile.ZipFile(folder / "original.pt") as source,
            zipfile.ZipFile(folder / "model.pt", "w", compression) as target,
        ):
            for name in source.namelist():
                new = [content for end, content in changes.items() if name.endswith(end)]
                target.writestr(name, new[0] if new else source.read(name))

    return rewrite


def load(folder):
    return load_checkpoint(folder, "cpu")


def refusal(folder):
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{folder}: ")
    return message.removeprefix(f"{folder}: ")


@pytest.mark.parametrize("heads", [2, 4, 8, 12, 16])
@pytest.mark.parametrize("attention", [scripted.Attn, scripted.ConstantAttn])
def test_a_scripted_network_is_read_with_its_heads(folder, make_network, heads, attention):
    program = script(make_network(n_embd=48, n_head=heads), attention)
    program.save(folder / "model.pt")
    bundle = load(folder)
    assert bundle.encoder_config == ENCODER
    assert bundle.model.config.n_head == heads
    assert_close(bundle.model(TOKENS)[0], program(TOKENS), atol=1e-5, rtol=0)


def test_a_traced_network_tells_its_heads_by_its_views(folder, network):
    trace(network).save(folder / "model.pt")
    assert_close(load(folder).model(TOKENS)[0], network(TOKENS)[0], atol=1e-5, rtol=0)


def test_half_precision_and_tensors_that_share_bytes(folder, network):
    network.lm_head.weight.data = network.transformer.wte.weight.data
    program = script(network).half()
    program.lm_head.weight = program.transformer.wte.weight
    program.save(folder / "model.pt")
    assert_close(load(folder).model(TOKENS)[0], network(TOKENS)[0], atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("integers", "code", "heads"),
    [
        ({("num_heads", 4)}, "", 4),
        ({("head_dim", 8)}, "", 4),
        ({("num_heads", 4), ("head_dim", 8), ("embed_dim", 32)}, "", 4),
        (set(), "q = torch.view(x, [b, t, 4, 8])", 4),
        (set(), "q = torch.view(x, [b, t, 3, 4, -1])", 4),
        (set(), "_0 = [b, t, 4, torch.floordiv(d, 4)]", 4),
        (set(), "_0 = [_1, _2, 4, int(_6)]\ny = torch.permute(q, [2, 0, 3, 1, 4])", 4),
        (set(), "torch.view(x, [b, t, 2, 16])\ntorch.reshape(y, [1, 1, 1, 32])", 2),
    ],
)
def test_how_an_archive_tells_its_heads(integers, code, heads):
    assert ScriptedNetwork({}, integers, [code]).head_count(32) == heads


@pytest.mark.parametrize(
    ("integers", "code", "told"),
    [
        (set(), "", "nothing in it tells"),
        ({("n_embd", 32)}, "torch.view(x, [b, t, 32])", "nothing in it tells"),
        (set(), "torch.view(x, [b, t, 5, -1])", "nothing in it tells"),
        ({("n_head", 4), ("num_heads", 8)}, "", "it may be any of [4, 8]"),
        (set(), "[b, t, 4, 8] [b, t, 8, 4]", "it may be any of [4, 8]"),
    ],
)
def test_when_an_archive_does_not_tell(integers, code, told):
    with pytest.raises(CheckpointError) as caught:
        ScriptedNetwork({}, integers, [code]).head_count(32)
    assert str(caught.value) == (
        f"model.pt: cannot tell the number of attention heads ({told}); "
        "save the network as .safetensors, whose config names it"
    )


def test_the_program_is_neither_compiled_nor_run(rewrite, folder, network):
    rewrite({".py": b"this is no program"})
    assert torch.equal(load(folder).model(TOKENS)[0], network(TOKENS)[0])


def test_nothing_that_the_description_names_is_called(rewrite, folder):
    trace = folder / "executed"

    class Executed:
        def __reduce__(self):
            return os.mkdir, (str(trace),)

    rewrite({"data.pkl": pickle.dumps(Executed(), protocol=2)})
    assert refusal(folder) == "tensor transformer.wte.weight is missing or is no matrix"
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("data.pkl", b"garbage", "model.pt is no readable TorchScript archive"),
        ("data.pkl", bytes(5 << 20), "model.pt: data.pkl has more than 4194304 bytes"),
        (".py", bytes(5 << 20), ".py has more than 4194304 bytes"),
        ("data/0", b"", "model.pt is no readable TorchScript archive"),
        ("data/0", bytes(40), "model.pt: a tensor is larger than its data/0"),
    ],
)
def test_archives_with_odd_members(rewrite, folder, name, content, text):
    rewrite({name: content})
    assert refusal(folder).endswith(text)


def test_compressed_tensors_are_not_expanded(rewrite, folder):
    rewrite({}, zipfile.ZIP_DEFLATED)
    assert refusal(folder).endswith(" is compressed, expected plain bytes")


@pytest.mark.parametrize("name", ["config.json", "model.pt"])
def test_missing_files(folder, network, name):
    script(network).save(folder / "model.pt")
    (folder / name).unlink()
    assert refusal(folder) == f"{name} is missing; expected config.json and model.pt"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "encoder_config is not JSON"),
        (b"\xff", "encoder_config is not JSON"),
        (b"null", "encoder_config is missing"),
        (b"[]", "encoder_config must be an object, got list"),
    ],
)
def test_odd_encoder_configs(folder, network, content, text):
    script(network).save(folder / "model.pt")
    (folder / "config.json").write_bytes(content)
    assert refusal(folder) == text


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04" + bytes(50)])
def test_garbage(folder, content):
    (folder / "model.pt").write_bytes(content)
    assert refusal(folder) == "model.pt is no readable TorchScript archive"


def test_a_packed_bundle_is_no_torchscript(folder):
    torch.save({"format_version": 1, "state_dict": {}}, folder / "model.pt")
    assert refusal(folder) == "model.pt is no TorchScript archive: it holds no code"


def test_truncated_archives(folder, network):
    script(network).save(folder / "model.pt")
    content = (folder / "model.pt").read_bytes()
    (folder / "model.pt").write_bytes(content[:-30])
    assert refusal(folder) == "model.pt is no readable TorchScript archive"


def test_a_network_of_another_kind(folder):
    class Other(torch.nn.Linear):
        pass

    torch.jit.script(Other(3, 4)).save(folder / "model.pt")
    assert refusal(folder) == "tensor transformer.wte.weight is missing or is no matrix"
