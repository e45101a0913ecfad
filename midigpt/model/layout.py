"""What a checkpoint says about its network, compared with the tensors it holds."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

import torch
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from midigpt.errors import CheckpointError
from midigpt.model.gpt2 import GPT2Config, GPT2LMHeadModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from torch import Tensor

_EMBEDDING = "transformer.wte.weight"
_POSITIONS = "transformer.wpe.weight"
_LAYER = re.compile(r"transformer\.h\.(\d+)\.")
_LEGACY_BUFFER = re.compile(r"transformer\.h\.\d+\.attn\.(bias|masked_bias)")

Shapes = dict[str, tuple[int, ...]]
"""Shapes of tensors, by name."""


def parse_config(data: object) -> GPT2Config:
    """The five numbers of a network.

    Raises:
        CheckpointError: a key is missing or unknown, or a number makes no sense.
    """
    names = [field.name for field in fields(GPT2Config)]
    if not isinstance(data, dict) or data.keys() != set(names):
        found = _some(data) if isinstance(data, dict) else type(data).__name__
        raise CheckpointError(f"config must have the keys {', '.join(names)}, got {found}")
    for name in names:
        if type(data[name]) is not int or data[name] < 1:
            raise CheckpointError(f"config: {name} must be a positive integer, got {data[name]!r}")
    config = GPT2Config(**data)
    if config.n_embd % config.n_head:
        raise CheckpointError(
            f"config: n_head {config.n_head} does not divide n_embd {config.n_embd}"
        )
    return config


def shapes_of(tensors: Mapping[str, Tensor]) -> Shapes:
    """The shapes of ``tensors``."""
    return {str(name): tuple(tensor.shape) for name, tensor in tensors.items()}


def visible_numbers(shapes: Shapes) -> dict[str, int]:
    """The numbers of a config that the shapes of its tensors show: all but ``n_head``.

    Raises:
        CheckpointError: an embedding is missing or is no matrix.
    """
    for name in (_EMBEDDING, _POSITIONS):
        if len(shapes.get(name, ())) != 2:
            raise CheckpointError(f"tensor {name} is missing or is no matrix")
    layers = {match[1] for match in map(_LAYER.match, shapes) if match}
    return {
        "vocab_size": shapes[_EMBEDDING][0],
        "n_positions": shapes[_POSITIONS][0],
        "n_embd": shapes[_EMBEDDING][1],
        "n_layer": len(layers),
    }


def empty_network(config: GPT2Config, shapes: Shapes) -> GPT2LMHeadModel:
    """The network of ``config``, without memory, if tensors of ``shapes`` are its parameters.

    The two buffers that old exports hold per layer may be among them.

    Raises:
        CheckpointError: they are not; the first differences are named.
    """
    for key, held in visible_numbers(shapes).items():
        claimed = asdict(config)[key]
        if claimed != held:
            raise CheckpointError(f"config says {key} is {claimed}, the tensors have {held}")
    with torch.device("meta"), _NoFirstNumbers():
        model = GPT2LMHeadModel(config)
    expected = shapes_of(model.state_dict())
    if missing := expected.keys() - shapes.keys():
        raise CheckpointError(f"missing tensors: {_some(missing)}")
    if unknown := {n for n in shapes.keys() - expected.keys() if not _LEGACY_BUFFER.fullmatch(n)}:
        raise CheckpointError(f"unknown tensors: {_some(unknown)}")
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise CheckpointError(f"tensor {name} has shape {shapes[name]}, expected {shape}")
    return model


class _NoFirstNumbers(TorchFunctionMode):
    """Leaves out the random numbers that a new network begins with.

    It has no memory for them, and to find that out PyTorch loads its compiler, a second at every
    start.
    """

    @override
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func.__name__ == "normal_":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _some(names: Iterable[object]) -> str:
    """The first few of ``names``, and how many more there are."""
    texts = sorted(repr(name) for name in names)
    more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
    return ", ".join(texts[:3]) + more if texts else "none"
