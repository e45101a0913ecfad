"""What can be told before the server starts: a wrong setting ends it at once, with one line."""

from __future__ import annotations

import socket
import zipfile
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

if TYPE_CHECKING:
    from pathlib import Path

    from midigpt.server.config import ModelEntry


class StartError(Exception):
    """The server cannot start; the message is one line that says why."""


def check_checkpoint(entry: ModelEntry) -> None:
    """Look at the checkpoint's file from outside, without torch.

    Raises:
        StartError: it cannot be one. That it is one only loading it will tell.
    """
    if entry.pretrained:
        return
    path = entry.path
    if not entry.ckpt and not path.exists():
        raise StartError(f"the built-in model is missing ({path}): give --ckpt or --pretrained")
    complaint = _complaint(path)
    if complaint:
        raise StartError(f"{entry.origin} {path}: {complaint}")


def _complaint(path: Path) -> str | None:
    if not path.exists():
        return "no such file or directory"
    if path.is_dir():
        missing = (name for name in ("config.json", "model.pt") if not (path / name).is_file())
        return next((f"the directory has no {name}" for name in missing), None)
    if path.suffix == ".safetensors":
        return _safetensors_complaint(path)
    if path.suffix != ".pt":
        return "must be a .safetensors or .pt file, or a directory"
    return None if zipfile.is_zipfile(path) else "is not a .pt bundle"


def _safetensors_complaint(path: Path) -> str | None:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
    except (OSError, SafetensorError):
        return "is not a readable .safetensors file"
    if not metadata or "encoder_config" not in metadata:
        return "has no encoder_config, so it is no checkpoint of ours"
    return None


def listen(host: str, port: int) -> socket.socket:
    """Start to listen; port 0 takes a free one.

    Raises:
        StartError: there is no such address, or something else listens there.
    """
    try:
        family, _, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise StartError(f"host {host}: no such address") from None
    # without the protocol asyncio would not know that answers must go out at once (TCP_NODELAY)
    listener = socket.socket(family, socket.SOCK_STREAM, protocol)
    # a port whose last connections are winding down is free
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


def url(listener: socket.socket) -> str:
    """The address of a listening socket, as clients write it."""
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
