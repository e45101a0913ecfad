"""What can be told before the server starts: a wrong setting ends it at once, with one line."""

from __future__ import annotations

import os
import signal
import socket
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

if TYPE_CHECKING:
    from midigpt.server.settings import Settings

FAILURE_FILE = "MIDIGPT_FAILURE_FILE"
"""Environment variable with the file in which a worker leaves why it cannot serve."""


class StartError(Exception):
    """The server cannot start; the message is one line that says why."""


def check_checkpoint(settings: Settings) -> None:
    """Look at the checkpoint's file from outside, without torch.

    Raises:
        StartError: it cannot be one. That it is one only loading it will tell.
    """
    if settings.pretrained:
        return
    path = settings.path
    if not path.exists():
        if not settings.ckpt:
            raise StartError(f"the built-in model is missing ({path}): give --ckpt or --pretrained")
        raise StartError(f"--ckpt {path}: no such file or directory")
    if path.is_dir():
        _check_directory(path)
    elif path.suffix == ".safetensors":
        _check_safetensors(path)
    elif path.suffix != ".pt":
        raise StartError(f"--ckpt {path}: must be a .safetensors or .pt file, or a directory")
    elif not zipfile.is_zipfile(path):
        raise StartError(f"--ckpt {path}: is not a .pt bundle")


def _check_directory(path: Path) -> None:
    for name in ("config.json", "model.pt"):
        if not (path / name).is_file():
            raise StartError(f"--ckpt {path}: the directory has no {name}")


def _check_safetensors(path: Path) -> None:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
    except (OSError, SafetensorError):
        raise StartError(f"--ckpt {path}: is not a readable .safetensors file") from None
    if not metadata or "encoder_config" not in metadata:
        raise StartError(f"--ckpt {path}: has no encoder_config, so it is no checkpoint of ours")


def free_address(host: str, port: int) -> tuple[str, int]:
    """The IP address and port to listen on; port 0 becomes a free one.

    Raises:
        StartError: there is no such address, or something else listens there.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise StartError(f"--host {host}: no such address") from None
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # as the server will: a port whose last connections are winding down is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from None
        ip, free, *_ = probe.getsockname()
    return ip, free


def give_up(reason: str) -> None:
    """End the server, called by a worker that cannot serve.

    Where ``midigpt-http`` started it: leave the reason for it and stop the supervisor. Where
    somebody else did, that is for them to decide: the probes say that the service is dead.
    """
    file = os.environ.get(FAILURE_FILE)
    if file:
        Path(file).write_text(reason)
        os.kill(os.getppid(), signal.SIGTERM)
