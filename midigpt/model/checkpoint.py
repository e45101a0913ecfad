"""Checkpoint files: ``.safetensors``, packed ``.pt`` bundles, TorchScript directories.

Opening a checkpoint executes nothing in it, and what it says about itself is compared with the
tensors it holds before anything is allocated.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from midigpt.errors import CheckpointError
from midigpt.model.device import resolve_device
from midigpt.model.gpt2 import GPT2LMHeadModel
from midigpt.model.layout import empty_network, parse_config, shapes_of, visible_numbers
from midigpt.model.torchscript import DAMAGE, read_torchscript

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

    from midigpt.model.layout import Shapes

_ARCH = "gpt2"


@dataclass(frozen=True)
class CheckpointBundle:
    """A loaded checkpoint.

    Attributes:
        path: the file or directory it came from.
        encoder_config: how its tokens are made from music; not interpreted here.
        model: the network, float32, ready to run.
    """

    path: Path
    encoder_config: dict[str, Any]
    model: GPT2LMHeadModel


def load_checkpoint(
    path: str | PathLike[str], device: str | torch.device | None = None
) -> CheckpointBundle:
    """Read a checkpoint and put its network on ``device``.

    Args:
        path: a ``.safetensors`` file, a packed ``.pt`` bundle, or a directory that holds
            ``config.json`` (the encoder config) and ``model.pt`` (a TorchScript archive, whose
            parameters are read and whose program is not run).
        device: as for :func:`midigpt.model.resolve_device`.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged or inconsistent with itself.
        DeviceError: the device is unknown or not there.
    """
    path, target = Path(path), resolve_device(device)
    read = _reader(path)
    try:
        contents = read(path)
        model = _build(contents, target)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    return CheckpointBundle(path, contents.encoder_config, model)


def check_vocabulary(bundle: CheckpointBundle, size: int) -> None:
    """Check that the network has as many tokens as its encoder, which makes ``size``.

    Raises:
        CheckpointError: it has not.
    """
    held = bundle.model.config.vocab_size
    if held != size:
        raise CheckpointError(
            f"{bundle.path}: the network has {held} tokens, its encoder config makes {size}"
        )


def save_checkpoint(
    path: str | PathLike[str],
    model: GPT2LMHeadModel,
    encoder_config: Mapping[str, Any],
    description: str | None = None,
) -> None:
    """Write a ``.safetensors`` checkpoint (format version 2).

    Args:
        path: the file; its suffix must be ``.safetensors``.
        model: the network.
        encoder_config: stored as JSON.
        description: stored beside it for people to read; not interpreted.

    Raises:
        CheckpointError: ``path`` has another suffix.
        OSError: it cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path}: checkpoints are written as .safetensors")
    metadata = {
        "format_version": "2",
        "arch": _ARCH,
        "config": json.dumps(asdict(model.config)),
        "encoder_config": json.dumps(dict(encoder_config)),
    }
    if description is not None:
        metadata["description"] = description
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    # save_file would leave the file readable by its owner only
    path.write_bytes(safetensors.torch.save(tensors, metadata))


@dataclass(frozen=True)
class _Contents:
    """What a file holds: ``model`` has no memory yet, its parameters are ``tensors``."""

    model: GPT2LMHeadModel
    encoder_config: dict[str, Any]
    tensors: Mapping[str, Tensor]


def _reader(path: Path) -> Callable[[Path], _Contents]:
    try:
        exists = path.exists()
    except OSError:  # such as a name too long for any file
        exists = False
    if not exists:
        raise CheckpointError(f"no such checkpoint: {path}")
    if path.is_dir():
        return _read_directory
    if path.is_file() and path.suffix in _READERS:
        return _READERS[path.suffix]
    raise CheckpointError(
        f"{path}: a checkpoint is a .safetensors file, a .pt bundle or a directory"
    )


def _read_safetensors(path: Path) -> _Contents:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            _check_version(metadata.get("format_version"), "2")
            _check_arch(metadata.get("arch"))
            config = parse_config(_from_json(metadata.get("config"), "config"))
            encoder_config = _parse_encoder_config(metadata.get("encoder_config"))
            shapes = {n: tuple(file.get_slice(n).get_shape()) for n in file.keys()}  # noqa: SIM118
            return _Contents(empty_network(config, shapes), encoder_config, _Mapped(path, shapes))
    except SafetensorError as error:
        raise CheckpointError(f"not a readable .safetensors file: {error}") from error


class _Mapped(Mapping[str, Tensor]):
    """The tensors of a ``.safetensors`` file, each mapped into memory only while somebody has it.

    Together they would take as much memory as the file is long, beside the network's own copy.
    """

    def __init__(self, path: Path, shapes: Shapes) -> None:
        self._path = path
        self._shapes = shapes

    def __getitem__(self, name: str) -> Tensor:
        try:
            with safe_open(self._path, framework="pt") as file:
                tensor: Tensor = file.get_tensor(name)
        except SafetensorError as error:
            raise CheckpointError(f"not a readable .safetensors file: {error}") from error
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def _read_bundle(path: Path) -> _Contents:
    bundle = _load_without_executing(path)
    if not isinstance(bundle, dict) or not {"format_version", "state_dict"} <= bundle.keys():
        raise CheckpointError("not a packed bundle (format_version + state_dict missing)")
    _check_version(bundle["format_version"], 1)
    _check_arch(bundle.get("arch"))
    config = parse_config(bundle.get("config"))
    encoder_config = _parse_encoder_config(bundle.get("encoder_config"))
    tensors = bundle["state_dict"]
    _check_tensors(tensors, path.stat().st_size)
    return _Contents(empty_network(config, shapes_of(tensors)), encoder_config, tensors)


def _read_directory(path: Path) -> _Contents:
    for name in ("config.json", "model.pt"):
        if not (path / name).is_file():
            raise CheckpointError(f"{name} is missing; expected config.json and model.pt")
    encoder_config = _parse_encoder_config((path / "config.json").read_bytes())
    network = read_torchscript(path / "model.pt")
    _check_tensors(network.tensors, (path / "model.pt").stat().st_size)
    shapes = shapes_of(network.tensors)
    numbers = visible_numbers(shapes)
    config = parse_config({**numbers, "n_head": network.head_count(numbers["n_embd"])})
    return _Contents(empty_network(config, shapes), encoder_config, network.tensors)


_READERS = {".safetensors": _read_safetensors, ".pt": _read_bundle}


def _load_without_executing(path: Path) -> object:
    """The object in a file of ``torch.save``, if it consists of plain data and tensors only."""
    try:
        _check_stored(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except DAMAGE as error:
        raise CheckpointError(
            "not a packed bundle: a file of torch.save with plain data and tensors only"
        ) from error


def _check_stored(path: Path) -> None:
    """Refuse compressed tensors: a small file could grow without end while it is read."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if "/data" in info.filename and info.compress_type != zipfile.ZIP_STORED:
                raise CheckpointError(f"{info.filename!r} is compressed, expected plain bytes")


def _check_version(found: object, expected: str | int) -> None:
    if found != expected or type(found) is not type(expected):
        raise CheckpointError(f"format_version is {found!r}, expected {expected!r}")


def _check_arch(arch: object) -> None:
    if arch not in (None, _ARCH):
        raise CheckpointError(f"unknown architecture {arch!r}, expected {_ARCH!r}")


def _from_json(text: str | bytes | None, what: str) -> object:
    if text is None:
        raise CheckpointError(f"{what} is missing")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{what} is not JSON") from error


def _parse_encoder_config(data: object) -> dict[str, Any]:
    if isinstance(data, (str, bytes)):
        data = _from_json(data, "encoder_config")
    if data is None:
        raise CheckpointError("encoder_config is missing")
    if not isinstance(data, dict):
        raise CheckpointError(f"encoder_config must be an object, got {type(data).__name__}")
    return data


def _check_tensors(tensors: object, file_size: int) -> None:
    """Check that an unpickled state dict holds plain tensors, together no larger than its file.

    A tensor may repeat its bytes, so that a small file claims a large one.
    """
    if not isinstance(tensors, dict):
        raise CheckpointError(f"state_dict must be a dict, got {type(tensors).__name__}")
    for name, tensor in tensors.items():
        plain = isinstance(tensor, Tensor) and tensor.layout == torch.strided
        if not plain or tensor.device.type != "cpu":
            raise CheckpointError(f"state_dict: {name!r} is no plain tensor")
    if sum(tensor.nbytes for tensor in tensors.values()) > 2 * file_size:
        raise CheckpointError("the tensors claim to be larger than the file")


def _build(contents: _Contents, device: torch.device) -> GPT2LMHeadModel:
    """Give the network its parameters, as float32 on ``device``."""
    model = contents.model
    state = {name: _weights(name, contents.tensors[name], device) for name in model.state_dict()}
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


def _weights(name: str, tensor: Tensor, device: torch.device) -> Tensor:
    if not tensor.is_floating_point():
        raise CheckpointError(f"tensor {name} has type {tensor.dtype}, expected a float type")
    # A copy of our own: one that maps the file would change with it, and is not aligned.
    weights = tensor.detach().to(device, torch.float32, copy=True).contiguous()
    if not weights.sum().isfinite():  # one infinity or NaN is enough; looking at each takes long
        raise CheckpointError(f"tensor {name} holds numbers that are not finite")
    return weights
