"""``midigpt-http``: the service as one command."""

from __future__ import annotations

import argparse
import math
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, NoReturn, get_args

from midigpt.server.config import deployment
from midigpt.server.environment import with_environment
from midigpt.server.preflight import StartError, check_checkpoint, listen, url
from midigpt.server.process import serve
from midigpt.server.settings import DEFAULT_PORT, DEVICE_PATTERN, Precision, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def run() -> NoReturn:
    """The command: :func:`main`, and an end that no thread holds up, such as one that downloads."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    os._exit(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to stop.

    Returns:
        The exit code: 0, or 1 if the server could not start. Wrong usage exits with 2.
    """
    given = parse(argv)
    try:
        _serve(given)
    except StartError as error:
        print(f"midigpt-http: {error}", file=sys.stderr)  # noqa: T201 - that is where it belongs
        return 1
    return 0


def _serve(given: argparse.Namespace) -> None:
    settings = with_environment(settings_of(given), os.environ)
    wanted = deployment(settings)
    for entry in wanted.models:
        check_checkpoint(entry)
    port = given.port if wanted.port is None else wanted.port
    with listen(wanted.host or given.host, port) as listener:
        address = url(listener)
        if port == 0:
            print(f"midigpt-http: port {listener.getsockname()[1]}", flush=True)  # noqa: T201 - at any log level
        serve(settings.model_copy(update={"address": address}), listener)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(
        prog="midigpt-http",
        description="Serve MIDI-GPT checkpoints over HTTP; without one, the built-in model.",
    )
    _add_models(parser)
    _add_server(parser)
    given = parser.parse_args(argv)
    if given.pretrained is None and (given.hf_filename or given.hf_repo):
        parser.error("--hf-filename and --hf-repo need --pretrained")
    if given.pretrained and "/" in given.pretrained and not given.hf_filename:
        parser.error("--pretrained with a repository needs --hf-filename")
    if given.cors_origin:
        _check_origins(parser, given.cors_origin)
    return given


def _check_origins(parser: argparse.ArgumentParser, origins: list[str]) -> None:
    from midigpt.server.guard import allowed_origins  # noqa: PLC0415 - imports Starlette

    try:
        allowed_origins(",".join(origins))
    except StartError as error:
        parser.error(str(error))


def _add_models(parser: argparse.ArgumentParser) -> None:
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
    source.add_argument(
        "--bento-model", type=something, metavar="TAG", help="model of the Bento model store"
    )
    source.add_argument(
        "--config", type=something, metavar="PATH", help="YAML file with several models"
    )
    add = parser.add_argument
    add("--hf-filename", metavar="FILE", help="file in the repository")
    add("--hf-repo", metavar="REPO", help="repository of short names")
    add("--device", type=device, default="auto", help="cpu, cuda, cuda:N, mps or auto (default)")
    add(
        "--precision",
        choices=get_args(Precision),
        default="auto",
        help="how weights are held (default auto: fp16 on a CPU, bf16 with CUDA)",
    )
    add(
        "--max-parallel",
        type=between(1),
        default=1,
        metavar="N",
        help="most generations of one model at a time (default 1)",
    )


def _add_server(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
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
        "--max-queue",
        type=between(1),
        default=64,
        metavar="N",
        help="most requests waiting and running (default 64)",
    )
    add(
        "--max-generation-seconds",
        type=seconds,
        default=0,
        metavar="SECONDS",
        help="longest generation (default 0: any)",
    )
    add(
        "--idle-timeout",
        type=seconds,
        default=0,
        metavar="SECONDS",
        help="end when nobody asks for anything for so long (default 0: never)",
    )
    add(
        "--max-body-bytes",
        type=between(1024),
        default=32 * 2**20,
        metavar="N",
        help="longest body that is read (default 32 MiB)",
    )
    add(
        "--cors-origin",
        type=something,
        action="append",
        default=[],
        metavar="ORIGIN",
        help="origin whose pages may use the server, or * for all; may be repeated",
    )


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


def seconds(text: str) -> float:
    """An argparse type: a length of time."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds, at least 0")
    return value


def device(text: str) -> str:
    """An argparse type: the name of a device, whether there is one or not."""
    if not re.fullmatch(DEVICE_PATTERN, text):
        raise argparse.ArgumentTypeError(f"{text} is not cpu, cuda, cuda:N, mps or auto")
    return text


def settings_of(given: argparse.Namespace) -> Settings:
    """What the service is told."""
    shared = {
        name: value
        for name, value in vars(given).items()
        if name in Settings.model_fields and value is not None
    }
    return Settings(**shared, cors_origins=",".join(given.cors_origin))


if __name__ == "__main__":
    run()
