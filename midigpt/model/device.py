"""Devices by name, and how many threads compute."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from midigpt.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_ACCEPTED = "give cpu, cuda, cuda:N, mps or auto"


def resolve_device(device: str | torch.device | None = None) -> torch.device:
    """The device to run on.

    None, ``""`` and ``"auto"`` mean CUDA if there is any, else MPS, else the CPU. A device asked
    for by name is never replaced by another.

    Raises:
        DeviceError: the name is unknown, or there is no such device here.
    """
    if device is None or device in ("", "auto"):
        return _best()
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise DeviceError(f"device={str(device)!r} is unknown: {_ACCEPTED}") from error
    _check_present(found)
    return found


@contextmanager
def at_most(threads: int) -> Iterator[None]:
    """Compute with so many threads at most, from this thread; 0 leaves it at what is set."""
    before = torch.get_num_threads()
    if threads == 0 or threads >= before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _best() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _check_present(device: torch.device) -> None:
    if device.type == "cuda":
        present = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if present == 0:
            raise DeviceError(f"device='{device}' requested but CUDA is unavailable")
        if (device.index or 0) >= present:
            raise DeviceError(f"device='{device}' requested but there are {present} CUDA devices")
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceError(f"device='{device}' requested but MPS is unavailable")
    elif device.type != "cpu":
        raise DeviceError(f"device='{device}' is not supported: {_ACCEPTED}")
