"""The parameters of a TorchScript archive, read without loading the program in it.

An archive is a zip file: ``data.pkl`` describes the tree of modules, ``data/`` holds the tensors'
bytes, ``code/`` the program. PyTorch's own loader compiles the program and runs parts of it, so it
is not used, and ``data.pkl`` is not unpickled but read as :mod:`midigpt.model.plain_pickle` does.
The program is only searched, as text, for the number of attention heads, which no tensor's shape
tells.
"""

from __future__ import annotations

import math
import pickle  # for the name of an exception
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from midigpt.errors import CheckpointError
from midigpt.model.plain_pickle import StorageRecord, TensorRecord, read_plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAX_TEXT = 4 << 20  # bytes of data.pkl or of a source file; those of a network have kilobytes
_MAX_DEPTH = 16  # modules inside modules; a network's parameters lie 6 deep
_DTYPES = {
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch DoubleStorage": torch.float64,
    "torch BoolStorage": torch.bool,
    "torch ByteStorage": torch.uint8,
    "torch LongStorage": torch.int64,
}
_HEADS = {"h", "nh", "heads", "n_head", "n_heads", "num_heads", "num_attention_heads"}
_HEAD_WIDTHS = {"head_dim", "head_size", "d_head"}
_CONSTANT = re.compile(r"(\w+) : Final\[int\] = (\d+)")
# the end of a shape of four or more: ", 8, 64]", ", 8, -1]", ", 8, torch.floordiv(d, 8)]"
_SPLIT = re.compile(r"\[[^\[\],]+, [^\[\]]+, (\d+), (-?\w+|[\w.]+\([^()]*\))\]")
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the readers of zip files, pickles and tensors answer damaged ones with."""


@dataclass(frozen=True)
class ScriptedNetwork:
    """What an archive tells without being run.

    Attributes:
        tensors: parameters and buffers, by dotted name.
        integers: integer attributes and constants of the modules: (name in its module, value).
        code: the program's source files.
    """

    tensors: dict[str, Tensor]
    integers: set[tuple[str, int]]
    code: list[str]

    def head_count(self, n_embd: int) -> int:
        """The number of attention heads.

        Taken from the attribute or constant that holds it; where none has a telling name, from the
        shapes in which the program splits its tensors into heads.

        Raises:
            CheckpointError: the archive does not tell, or tells more than one number.
        """
        found = {value for name, value in self.integers if name.lower() in _HEADS}
        found |= {n_embd // value for name, value in self.integers if name in _HEAD_WIDTHS}
        found = found or self._split_counts(n_embd)
        if len(found) != 1:
            told = f"it may be any of {sorted(found)}" if found else "nothing in it tells"
            raise CheckpointError(
                f"model.pt: cannot tell the number of attention heads ({told}); "
                "save the network as .safetensors, whose config names it"
            )
        return found.pop()

    def _split_counts(self, n_embd: int) -> set[int]:
        found = set()
        for count, width in (split for text in self.code for split in _SPLIT.findall(text)):
            heads = int(count)
            fits = not width.isdigit() or heads * int(width) == n_embd
            if heads > 1 and n_embd % heads == 0 and fits:
                found.add(heads)
        return found


def read_torchscript(path: Path) -> ScriptedNetwork:
    """Read the archive ``path``; see the module's text for what is not done.

    Raises:
        CheckpointError: it is no TorchScript archive, or a damaged one.
        OSError: it cannot be opened.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(_Members(archive))
    except CheckpointError:
        raise
    except DAMAGE as error:
        raise CheckpointError(f"{path.name} is no readable TorchScript archive") from error


def _read(members: _Members) -> ScriptedNetwork:
    leaves = list(_leaves(read_plain(members.read_text("data.pkl"))))
    code = [members.read_text(name).decode() for name in members.sources]
    constants = {(name, int(value)) for text in code for name, value in _CONSTANT.findall(text)}
    attributes = {
        (name.rpartition(".")[2], leaf)
        for name, leaf in leaves
        if isinstance(leaf, int) and leaf > 0
    }
    storages = _Storages(members)
    tensors = {
        name: storages.tensor(leaf) for name, leaf in leaves if isinstance(leaf, TensorRecord)
    }
    return ScriptedNetwork(tensors, attributes | constants, code)


class _Members:
    """The members of an archive by their path below its only folder, with limits on their size."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._root = archive.namelist()[0].partition("/")[0]
        names = [name.removeprefix(f"{self._root}/") for name in archive.namelist()]
        self.sources = [name for name in names if name.startswith("code/") and name[-3:] == ".py"]
        if not self.sources:
            raise CheckpointError("model.pt is no TorchScript archive: it holds no code")

    def read_text(self, name: str) -> bytes:
        info = self._info(name)
        if info.file_size > _MAX_TEXT:
            raise CheckpointError(f"model.pt: {name} has more than {_MAX_TEXT} bytes")
        return self._archive.read(info)

    def read_data(self, key: str) -> bytes:
        info = self._info(f"data/{key}")
        if info.compress_type != zipfile.ZIP_STORED:  # else a small file could grow without end
            raise CheckpointError(f"model.pt: data/{key} is compressed, expected plain bytes")
        return self._archive.read(info)

    def _info(self, name: str) -> zipfile.ZipInfo:
        return self._archive.getinfo(f"{self._root}/{name}")


class _Storages:
    """Tensors from their records; bytes that several share are read once."""

    def __init__(self, members: _Members) -> None:
        self._members = members
        self._read: dict[StorageRecord, Tensor] = {}

    def tensor(self, record: TensorRecord) -> Tensor:
        storage = record.storage
        if storage not in self._read:
            data = bytearray(self._members.read_data(storage.key))
            self._read[storage] = torch.frombuffer(data, dtype=_DTYPES[storage.type])
        flat = self._read[storage]
        if math.prod(record.shape) > flat.numel():
            raise CheckpointError(f"model.pt: a tensor is larger than its data/{storage.key}")
        return flat.as_strided(record.shape, record.stride, record.offset)


def _leaves(tree: object) -> Iterator[tuple[str, object]]:
    """Everything in nested dictionaries that is no dictionary, with its dotted name."""
    pending, seen = [("", tree)], set()
    while pending:
        name, node = pending.pop()
        if not isinstance(node, dict):
            yield name, node
        elif id(node) not in seen and name.count(".") < _MAX_DEPTH:
            seen.add(id(node))
            pending += [(f"{name}.{key}" if name else str(key), node[key]) for key in node]
