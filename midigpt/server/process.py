"""The process that serves, and how it ends.

``midigpt-http`` is one process: BentoML's application under uvicorn. There is one worker, since one
process must own the models and the queue; a supervisor above it would only double the ways to die.
``bentoml serve`` has such a supervisor, in a process of its own.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midigpt.server.preflight import StartError

if TYPE_CHECKING:
    import socket

    import uvicorn

    from midigpt.server.settings import Settings

POLL_S = 1.0


@dataclass
class _Process:
    """What the command and the service in the same process tell each other."""

    ours: bool = False
    failure: str = ""


_process = _Process()


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve until told to end.

    Args:
        settings: what the service is told.
        listener: where it listens already; it is closed at the end.

    Raises:
        StartError: it could not.
    """
    _process.ours = True
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    server = _server(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn hands a signal on once it has ended by it: to itself, which does nothing then
        signal.signal(number, server.handle_exit)
    try:
        server.run(sockets=[listener])
    except SystemExit:
        raise StartError("the service could not start, its log says why") from None
    if _process.failure:
        raise StartError(_process.failure)


def _server(settings: Settings) -> uvicorn.Server:
    """What BentoML's supervisor and its worker would set up."""
    # they take a second, which wrong settings need not wait for
    try:
        import uvicorn  # noqa: PLC0415
        from bentoml import server_context  # noqa: PLC0415
        from bentoml._internal.log import configure_server_logging  # noqa: PLC0415
        from bentoml._internal.utils.args import set_arguments  # noqa: PLC0415
    except ModuleNotFoundError as error:
        missing = f"the package {error.name} is missing: pip install 'midigpt[http]'"
        raise StartError(missing) from None
    set_arguments(settings.model_dump())
    configure_server_logging()  # type: ignore[no-untyped-call]  # BentoML's internals have no types
    from midigpt.server.protocol import Http  # noqa: PLC0415 - see above
    from midigpt.server.service import service  # noqa: PLC0415 - it reads the arguments

    server_context.service_type = "entry_service"
    server_context.service_name = server_context.bento_name = service.name
    server_context.bento_version = "not available"
    server_context.service_routes = [api.route for api in service.apis.values()]
    config = uvicorn.Config(
        service.to_asgi(), http=Http, ws="none", log_config=None, server_header=False
    )
    return uvicorn.Server(config)


def supervised() -> bool:
    """Whether BentoML's supervisor is above this process."""
    from bentoml import server_context  # noqa: PLC0415 - see above

    return server_context.worker_index is not None


def give_up(reason: str) -> None:
    """End the server because it cannot serve.

    Where ``midigpt-http`` runs it. Where somebody else does, that is for them to decide: the probes
    say that the service is dead.
    """
    if _process.ours:
        _process.failure = reason
        os.kill(os.getpid(), signal.SIGTERM)


def end_server() -> None:
    """End the server in good order because nobody needs it any more."""
    os.kill(os.getppid() if supervised() else os.getpid(), signal.SIGTERM)


def watch_parent() -> None:
    """Under a supervisor: end in good order when it is gone, as nobody else would see to that."""
    if supervised():
        threading.Thread(target=_end_after, args=(os.getppid(),), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)
