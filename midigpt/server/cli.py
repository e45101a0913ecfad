"""``midigpt-http``: the service as one command."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from midigpt.server.preflight import (
    FAILURE_FILE,
    StartError,
    check_checkpoint,
    free_address,
)
from midigpt.server.settings import DEFAULT_PORT, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SERVICE = "midigpt.server.service:MidiGPT"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to stop.

    Returns:
        The exit code: 0, or 1 if the server could not start. Wrong usage exits with 2.
    """
    given = parse(argv)
    try:
        host, port = free_address(given.host, given.port)
        settings = settings_of(given, host, port)
        check_checkpoint(settings)
    except StartError as error:
        print(f"midigpt-http: {error}", file=sys.stderr)  # noqa: T201 - that is where it belongs
        return 1
    return serve(settings, host, port)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(
        prog="midigpt-http",
        description="Serve a MIDI-GPT checkpoint over HTTP; without one, the built-in model.",
    )
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--ckpt", type=something, metavar="PATH", help="local checkpoint file or directory"
    )
    source.add_argument(
        "--pretrained",
        type=something,
        metavar="NAME_OR_REPO",
        help="published checkpoint: short name or repository",
    )
    add("--hf-filename", metavar="FILE", help="file in the repository")
    add("--hf-repo", metavar="REPO", help="repository of short names")
    add("--device", default="auto", help="cpu, cuda, cuda:N, mps or auto (default)")
    add("--host", default="0.0.0.0", help="address to bind (default 0.0.0.0)")  # noqa: S104 - documented
    add("--port", type=between(0, 65535), default=DEFAULT_PORT, help="port (default 8000, 0: free)")
    add(
        "--log-level",
        type=str.upper,
        choices=["DEBUG", "INFO", "WARNING", "ERROR"],
        default="INFO",
        help="default INFO",
    )
    add(
        "--max-queue", type=between(1), default=64, metavar="N", help="waiting and running requests"
    )
    add(
        "--max-body-bytes",
        type=between(1024),
        default=32 * 2**20,
        metavar="N",
        help="longest body that is read",
    )
    given = parser.parse_args(argv)
    if given.pretrained is None and (given.hf_filename or given.hf_repo):
        parser.error("--hf-filename and --hf-repo need --pretrained")
    if given.pretrained and "/" in given.pretrained and not given.hf_filename:
        parser.error("--pretrained with a repository needs --hf-filename")
    return given


def something(text: str) -> str:
    """An argparse type: text that is not empty, as that of an unset variable is."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def between(least: int, most: int | None = None) -> Callable[[str], int]:
    """An argparse type: an integer in a range."""

    def integer(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            upper = "" if most is None else f" and at most {most}"
            raise argparse.ArgumentTypeError(f"{value} is not at least {least}{upper}")
        return value

    return integer


def settings_of(given: argparse.Namespace, host: str, port: int) -> Settings:
    """What the worker is told."""
    shown = f"[{host}]" if ":" in host else host
    return Settings(
        ckpt=given.ckpt or "",
        pretrained=given.pretrained or "",
        hf_filename=given.hf_filename or "",
        hf_repo=given.hf_repo or "",
        device=given.device,
        log_level=given.log_level,
        max_queue=given.max_queue,
        max_body_bytes=given.max_body_bytes,
        address=f"http://{shown}:{port}",
    )


def serve(settings: Settings, host: str, port: int) -> int:
    """Run BentoML's supervisor and one worker."""
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    # a worker that dies ends the server instead of being started again and again
    os.environ.setdefault("BENTOML_CONTAINERIZED", "1")
    with tempfile.TemporaryDirectory(prefix="midigpt-") as folder:
        failure = Path(folder) / "failure"
        os.environ[FAILURE_FILE] = str(failure)
        import bentoml  # noqa: PLC0415 - takes a second that wrong settings need not wait

        # the supervisor would announce an address at which nothing is ready yet; a filter, since
        # BentoML sets levels anew
        supervisor = logging.getLogger("bentoml.serve")
        supervisor.addFilter(lambda record: record.levelno >= logging.WARNING)
        bentoml.serve(SERVICE, host=host, port=port, blocking=True, args=settings.model_dump())
        if failure.exists():
            print(f"midigpt-http: {failure.read_text()}", file=sys.stderr)  # noqa: T201 - as above
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
