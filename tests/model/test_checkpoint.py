import contextlib
import json
import os
import stat
import struct
import subprocess
import sys
import zipfile
from dataclasses import asdict

import pytest
import safetensors.torch
import torch

from midigpt.errors import CheckpointError
from midigpt.model import check_vocabulary, checkpoint, load_checkpoint, save_checkpoint

ENCODER = {"resolution": 12, "note": "not interpreted"}
TOKENS = torch.tensor([[3, 1, 4, 1, 5]])
EMBEDDING = "transformer.wte.weight"
BIAS = "transformer.h.1.attn.c_attn.bias"


class Executed:
    """Leaves a file behind if unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.fixture
def write(tmp_path, network):
    """Writes the network in one of the formats, with some parts replaced or left out (None)."""

    def write_safetensors(tensors, encoder_config=ENCODER, config=None, **metadata):
        parts = {"format_version": "2", "arch": "gpt2"} | metadata
        config = asdict(network.config) if config is None else config
        parts["config"] = config if isinstance(config, str) else json.dumps(config)
        parts["encoder_config"] = (
            encoder_config if isinstance(encoder_config, str) else json.dumps(encoder_config)
        )
        path = tmp_path / "x.safetensors"
        kept = {key: value for key, value in parts.items() if value is not None}
        safetensors.torch.save_file(tensors, path, kept)
        return path

    def write_bundle(tensors, **parts):
        bundle = {
            "format_version": 1,
            "arch": "gpt2",
            "config": asdict(network.config),
            "encoder_config": ENCODER,
            "state_dict": tensors,
        }
        path = tmp_path / "x.pt"
        torch.save(bundle | parts, path)
        return path

    def write(suffix, tensors=None, **parts):
        changed = network.state_dict() | (tensors or {})
        kept = {name: tensor for name, tensor in changed.items() if tensor is not None}
        return (write_bundle if suffix == ".pt" else write_safetensors)(kept, **parts)

    return write


@pytest.fixture(params=[".safetensors", ".pt"])
def suffix(request):
    return request.param


def load(path):
    return load_checkpoint(path, "cpu")


def refusal(path):
    """The message that a checkpoint is refused with: one line that begins with its path."""
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_what_is_saved_is_loaded(tmp_path, network):
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, network, ENCODER, description="random weights")
    bundle = load(str(path))
    assert bundle.path == path
    assert bundle.encoder_config == ENCODER
    assert bundle.model.config == network.config
    assert torch.equal(bundle.model(TOKENS)[0], network(TOKENS)[0])
    assert not bundle.model.training
    assert not any(parameter.requires_grad for parameter in bundle.model.parameters())
    with safetensors.safe_open(path, framework="pt") as file:
        assert file.metadata() == {
            "format_version": "2",
            "arch": "gpt2",
            "config": json.dumps(asdict(network.config)),
            "encoder_config": json.dumps(ENCODER),
            "description": "random weights",
        }


def test_a_saved_file_is_as_readable_as_any_other(tmp_path, network):
    path, other = tmp_path / "x.safetensors", tmp_path / "other"
    save_checkpoint(path, network, ENCODER)
    other.touch()
    assert stat.filemode(path.stat().st_mode) == stat.filemode(other.stat().st_mode)


@pytest.mark.parametrize("name", ["x.pt", "x.bin", "x"])
def test_other_suffixes_are_not_written(tmp_path, network, name):
    with pytest.raises(CheckpointError, match=r"x.*: checkpoints are written as \.safetensors"):
        save_checkpoint(tmp_path / name, network, ENCODER)
    assert not (tmp_path / name).exists()


def test_both_file_formats_give_the_same_network(write, network):
    for suffix in (".safetensors", ".pt"):
        bundle = load(write(suffix))
        assert bundle.encoder_config == ENCODER
        assert torch.equal(bundle.model(TOKENS)[0], network(TOKENS)[0])


def test_an_encoder_config_may_be_json_text(write, suffix):
    assert load(write(suffix, encoder_config=json.dumps(ENCODER))).encoder_config == ENCODER


def test_an_absent_architecture_is_gpt2(write, suffix):
    assert load(write(suffix, arch=None)).encoder_config == ENCODER


def test_buffers_of_old_exports_are_dropped(write, suffix, network):
    buffers = {
        "transformer.h.0.attn.bias": torch.ones(1, 1, 8, 8, dtype=torch.uint8),
        "transformer.h.1.attn.masked_bias": torch.tensor(-1e4),
    }
    assert torch.equal(load(write(suffix, buffers)).model(TOKENS)[0], network(TOKENS)[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_are_converted(write, suffix, network, dtype):
    converted = {name: tensor.to(dtype) for name, tensor in network.state_dict().items()}
    model = load(write(suffix, converted)).model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.lm_head.weight, network.lm_head.weight.to(dtype).float())


def test_a_bundle_may_hold_more_and_tensors_in_any_layout(write, network):
    turned = {EMBEDDING: network.transformer.wte.weight.T.contiguous().T}
    model = load(write(".pt", turned, epoch=3)).model
    assert torch.equal(model(TOKENS)[0], network(TOKENS)[0])
    assert model.transformer.wte.weight.is_contiguous()


def test_a_loaded_network_does_not_depend_on_its_file(write, network):
    path = write(".safetensors")
    model = load(path).model
    with path.open("r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(bytes(1000))
    assert torch.equal(model(TOKENS)[0], network(TOKENS)[0])


def test_the_vocabulary_is_checked_on_request(write):
    bundle = load(write(".pt"))
    check_vocabulary(bundle, 50)
    with pytest.raises(CheckpointError, match=r"x\.pt: .* has 50 tokens, its encoder .* makes 51"):
        check_vocabulary(bundle, 51)


@pytest.mark.parametrize("name", ["none.safetensors", "none.pt", "none", "n" * 999])
def test_nothing_there(tmp_path, name):
    with pytest.raises(CheckpointError) as caught:
        load(tmp_path / name)
    assert str(caught.value) == f"no such checkpoint: {tmp_path / name}"


@pytest.mark.parametrize("name", ["notes.txt", "model.PT", "model.bin", "model"])
def test_other_files(tmp_path, name):
    (tmp_path / name).write_text("text")
    expected = "a checkpoint is a .safetensors file, a .pt bundle or a directory"
    assert refusal(tmp_path / name) == expected


def test_a_file_that_may_not_be_read(write, suffix, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("midigpt.model.checkpoint.safe_open", refuse)
    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    assert refusal(write(suffix)) == "cannot be read: Permission denied"


UNREADABLE = {
    ".safetensors": "not a readable .safetensors file: ",
    ".pt": "not a packed bundle: a file of torch.save with plain data and tensors only",
}


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"\x80\x02.", b"PK\x03\x04", bytes(100), b"\xff" * 100]
)
def test_garbage(tmp_path, suffix, content):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    assert refusal(path).startswith(UNREADABLE[suffix])


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9, 0.999])
def test_truncated_files(write, suffix, kept):
    path = write(suffix)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert refusal(path).startswith(UNREADABLE[suffix])


@pytest.mark.parametrize("place", range(0, 4000, 97))
def test_no_damage_gets_through_as_another_error(write, suffix, place):
    path = write(suffix)
    content = bytearray(path.read_bytes())
    for start in (0, len(content) - 4000):
        content[start + place] ^= 0x55
    path.write_bytes(content)
    with contextlib.suppress(CheckpointError):
        load(path)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"format_version": "1"}, "format_version is '1', expected '2'"),
        ({"format_version": None}, "format_version is None, expected '2'"),
        ({"arch": "lstm"}, "unknown architecture 'lstm', expected 'gpt2'"),
        ({"config": "{"}, "config is not JSON"),
        ({"config": "[" * 100_000}, "config is not JSON"),
        ({"encoder_config": "null"}, "encoder_config is missing"),
        ({"encoder_config": "[1]"}, "encoder_config must be an object, got list"),
        ({"encoder_config": "resolution 12"}, "encoder_config is not JSON"),
    ],
    ids=str,
)
def test_safetensors_with_odd_metadata(write, parts, text):
    assert refusal(write(".safetensors", **parts)) == text


@pytest.mark.parametrize("name", ["format_version", "config", "encoder_config"])
def test_safetensors_without_some_metadata(tmp_path, network, name):
    metadata = {
        "format_version": "2",
        "config": json.dumps(asdict(network.config)),
        "encoder_config": json.dumps(ENCODER),
    }
    del metadata[name]
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file(network.state_dict(), path, metadata)
    expected = "format_version is None, expected '2'"
    assert refusal(path) == (expected if name == "format_version" else f"{name} is missing")
    safetensors.torch.save_file(network.state_dict(), path)
    assert refusal(path) == expected


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"format_version": 2}, "format_version is 2, expected 1"),
        ({"format_version": "1"}, "format_version is '1', expected 1"),
        ({"format_version": True}, "format_version is True, expected 1"),
        ({"arch": "lstm"}, "unknown architecture 'lstm', expected 'gpt2'"),
        ({"encoder_config": None}, "encoder_config is missing"),
        ({"encoder_config": 3}, "encoder_config must be an object, got int"),
        ({"encoder_config": "{"}, "encoder_config is not JSON"),
        ({"state_dict": [1]}, "state_dict must be a dict, got list"),
        ({"state_dict": {"a": 1}}, "state_dict: 'a' is no plain tensor"),
        ({"state_dict": {"a": torch.eye(2).to_sparse()}}, "state_dict: 'a' is no plain tensor"),
        ({"state_dict": {}}, "tensor transformer.wte.weight is missing or is no matrix"),
    ],
    ids=[f"{number}" for number in range(11)],
)
def test_bundles_with_odd_content(write, parts, text):
    assert refusal(write(".pt", **parts)) == text


@pytest.mark.parametrize(
    "content", [[1, 2], {"a": torch.ones(2)}, {"format_version": 1}, torch.ones(2), None], ids=repr
)
def test_files_of_torch_save_that_are_no_bundle(tmp_path, content):
    path = tmp_path / "x.pt"
    torch.save(content, path)
    assert refusal(path) == "not a packed bundle (format_version + state_dict missing)"


def test_a_bundle_without_config(tmp_path, network):
    path = tmp_path / "x.pt"
    torch.save({"format_version": 1, "state_dict": network.state_dict()}, path)
    assert refusal(path).startswith("config must have the keys vocab_size, n_positions, n_embd")


NUMBERS = {"vocab_size": 50, "n_positions": 600, "n_embd": 16, "n_layer": 2, "n_head": 4}
KEYS = "config must have the keys vocab_size, n_positions, n_embd, n_layer, n_head, got"


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ([50, 600], f"{KEYS} list"),
        ({}, f"{KEYS} none"),
        (
            {key: value for key, value in NUMBERS.items() if key != "n_head"},
            f"{KEYS} 'n_embd', 'n_layer', 'n_positions' and 1 more",
        ),
        (NUMBERS | {"dropout": 1}, f"{KEYS} 'dropout', 'n_embd', 'n_head' and 3 more"),
        (NUMBERS | {"n_embd": 16.0}, "config: n_embd must be a positive integer, got 16.0"),
        (NUMBERS | {"n_embd": "16"}, "config: n_embd must be a positive integer, got '16'"),
        (NUMBERS | {"n_head": True}, "config: n_head must be a positive integer, got True"),
        (NUMBERS | {"n_head": 0}, "config: n_head must be a positive integer, got 0"),
        (NUMBERS | {"n_layer": -2}, "config: n_layer must be a positive integer, got -2"),
        (NUMBERS | {"n_head": float("nan")}, "config: n_head must be a positive integer, got nan"),
        (NUMBERS | {"n_head": None}, "config: n_head must be a positive integer, got None"),
        (NUMBERS | {"n_head": 3}, "config: n_head 3 does not divide n_embd 16"),
        (NUMBERS | {"n_head": 32}, "config: n_head 32 does not divide n_embd 16"),
        (NUMBERS | {"vocab_size": 51}, "config says vocab_size is 51, the tensors have 50"),
        (NUMBERS | {"n_layer": 3}, "config says n_layer is 3, the tensors have 2"),
    ],
    ids=str,
)
def test_configs_that_make_no_sense(write, suffix, config, text):
    assert refusal(write(suffix, config=config)) == text


@pytest.mark.parametrize("number", ["vocab_size", "n_positions", "n_embd", "n_layer"])
def test_nothing_is_allocated_for_claimed_numbers(write, suffix, number):
    huge = 16 * 10**15
    message = refusal(write(suffix, config=NUMBERS | {number: huge}))
    assert message == f"config says {number} is {huge}, the tensors have {NUMBERS[number]}"


@pytest.mark.parametrize(
    ("tensors", "text"),
    [
        ({BIAS: None}, f"missing tensors: '{BIAS}'"),
        ({EMBEDDING: None}, f"tensor {EMBEDDING} is missing or is no matrix"),
        ({EMBEDDING: torch.ones(50)}, f"tensor {EMBEDDING} is missing or is no matrix"),
        ({"lm_head.bias": torch.ones(50)}, "unknown tensors: 'lm_head.bias'"),
        ({"transformer.h.0.bias": torch.ones(1)}, "unknown tensors: 'transformer.h.0.bias'"),
        ({BIAS: torch.ones(47)}, f"tensor {BIAS} has shape (47,), expected (48,)"),
        (
            {BIAS: torch.ones(48).int()},
            f"tensor {BIAS} has type torch.int32, expected a float type",
        ),
        (
            {BIAS: torch.full((48,), float("nan"))},
            f"tensor {BIAS} holds numbers that are not finite",
        ),
        (
            {BIAS: torch.full((48,), float("inf"))},
            f"tensor {BIAS} holds numbers that are not finite",
        ),
    ],
    ids=[f"{number}" for number in range(9)],
)
def test_tensors_that_are_not_the_networks(write, suffix, tensors, text):
    assert refusal(write(suffix, tensors)) == text


def test_many_missing_tensors_are_named_in_one_line(write, suffix, network):
    gone = dict.fromkeys(name for name in network.state_dict() if ".h.1.ln" in name)
    assert refusal(write(suffix, gone)) == (
        "missing tensors: 'transformer.h.1.ln_1.bias', 'transformer.h.1.ln_1.weight', "
        "'transformer.h.1.ln_2.bias' and 1 more"
    )


def test_nothing_in_a_bundle_is_executed(tmp_path, write):
    trace = tmp_path / "executed"
    for parts in ({"state_dict": Executed(trace)}, {"note": Executed(trace)}):
        assert refusal(write(".pt", **parts)) == UNREADABLE[".pt"]
    assert not trace.exists()


def test_tensors_that_claim_more_than_the_file_holds(write):
    repeated = {EMBEDDING: torch.ones(1, 1).expand(10**7, 10**6)}
    assert refusal(write(".pt", repeated)) == "the tensors claim to be larger than the file"


def test_compressed_tensors_are_not_expanded(tmp_path, write):
    path, packed = write(".pt"), tmp_path / "packed.pt"
    with (
        zipfile.ZipFile(path) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert refusal(packed) == "'x/data.pkl' is compressed, expected plain bytes"


def test_a_safetensors_header_that_claims_more_than_the_file_holds(write):
    path = write(".safetensors")
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    header[EMBEDDING]["shape"] = [10**9, 10**9]
    changed = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(changed)) + changed + content[8 + size :])
    assert refusal(path).startswith(UNREADABLE[".safetensors"])


def test_a_file_that_is_overwritten_while_it_is_read(write, monkeypatch):
    path = write(".safetensors")
    read = checkpoint._READERS[".safetensors"]

    def read_and_spoil(path):
        contents = read(path)
        assert len(contents.tensors) == len(list(contents.tensors))
        path.write_bytes(b"garbage")
        return contents

    monkeypatch.setitem(checkpoint._READERS, ".safetensors", read_and_spoil)
    assert "not a readable .safetensors file" in refusal(path)


def test_loading_does_not_load_the_compiler(write, network):
    """It takes a second, at every start."""
    path = write(network.state_dict())
    program = f"""
import sys
from midigpt.model import load_checkpoint
load_checkpoint({str(path)!r}, "cpu")
print("torch" in sys.modules, "torch._dynamo" in sys.modules)
"""
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command, text=True) == "True False\n"
