"""The BentoML service."""

# mypy: disable-error-code="untyped-decorator"
# BentoML's decorators have no types

import asyncio
import functools
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any, ParamSpec, TypeVar

import bentoml
from bentoml._internal.utils.analytics import usage_stats
from starlette.responses import Response

from midigpt.inference.request import GenerationRequest
from midigpt.score import Score
from midigpt.server.backend import Backend, Model
from midigpt.server.errors import ApiError
from midigpt.server.intake import Intake
from midigpt.server.preflight import StartError, check_checkpoint, give_up
from midigpt.server.routes import routes
from midigpt.server.schemas import GenerateInput, GenerateOutput, Health, Info
from midigpt.server.settings import Settings
from midigpt.server.shape import ErrorShape

# nothing is reported to anybody; ``bentoml serve`` has looked before it came here
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
# before torch looks: its threads must not spin while they wait for each other. Where the event loop
# wants a core too, a small network ran forty times slower
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
usage_stats.do_not_track.cache_clear()

P = ParamSpec("P")
T = TypeVar("T")

# from arrival to the first byte of the answer, waiting included; the queue has its own limits
LONGEST_WAIT_S = 4 * 3600
GRACE_S = 10

logger = logging.getLogger("midigpt")
settings = bentoml.use_arguments(Settings)
# apart, so that a malformed body is refused at once whatever is being planned
parsers = ThreadPoolExecutor(1, thread_name_prefix="parse")
planners = ThreadPoolExecutor(2, thread_name_prefix="plan")


def load() -> Model:
    """Load the model; called in the worker process only."""
    from midigpt.server.generation import LoadedModel  # noqa: PLC0415 - imports torch

    return LoadedModel.load(settings)


def calm_collector() -> None:
    """Make full garbage collections rare.

    With a large score in memory one of them stops all threads for half a second, and finds little.
    """
    gc.freeze()
    gc.set_threshold(10_000, 10, 100)


def answers_errors(
    method: Callable[P, Awaitable[T]],
) -> Callable[P, Awaitable[T | Response]]:
    """Return API errors as responses: BentoML would lose what they say."""

    @functools.wraps(method)
    async def inner(*args: P.args, **kwargs: P.kwargs) -> T | Response:
        try:
            return await method(*args, **kwargs)
        except ApiError as error:
            return error.response()

    return inner


@bentoml.service(name="midigpt", workers=1, traffic={"timeout": LONGEST_WAIT_S})
@bentoml.asgi_app(routes, path="/")
class MidiGPT:
    """Writes music with a MIDI-GPT checkpoint."""

    def __init__(self) -> None:
        self.backend = Backend(load, settings.max_queue, planners)

    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Refuse to start without a checkpoint; runs once, in the supervisor."""
        try:
            check_checkpoint(settings)
        except StartError as error:
            sys.exit(str(error))

    @bentoml.on_startup
    async def start(self) -> None:
        """Load the model in the background, so that probes are answered meanwhile."""
        for name in ("midigpt", "bentoml"):
            logging.getLogger(name).setLevel(settings.log_level)
        self._stop_on_signals()
        self._loading = asyncio.create_task(self._load())

    async def _load(self) -> None:
        await self.backend.start()
        calm_collector()
        if self.backend.failure is not None:
            logger.error("%s", self.backend.failure)
            give_up(self.backend.failure)
        elif settings.address:
            logger.info("listening on %s", settings.address)

    def _stop_on_signals(self) -> None:
        """Hear of the end before BentoML does: it waits for all requests to be answered first."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            theirs = signal.getsignal(number)

            def stop(number: int, frame: FrameType | None, theirs: object = theirs) -> None:
                self.backend.jobs.close(GRACE_S)
                if callable(theirs):
                    theirs(number, frame)

            signal.signal(number, stop)

    async def __is_ready__(self) -> bool:
        return self.backend.ready

    async def __is_alive__(self) -> bool:
        return self.backend.failure is None

    @bentoml.api(input_spec=GenerateInput, output_spec=GenerateOutput)
    @answers_errors
    async def generate(
        self,
        score: Score,
        request: GenerationRequest,
        request_id: str,
        stream: bool,
        model: str | None,
    ) -> Response:
        """Write the bars that the request names, and return the whole score."""
        body = GenerateInput.model_construct(
            score=score, request=request, request_id=request_id, stream=stream, model=model
        )
        arrived = service.context.request
        return await self.backend.generate(body, arrived.state.ignored, arrived.receive)

    # GET /health and GET /info have the plain paths; generated clients can only POST
    @bentoml.api(route="/api/health")
    async def health(self) -> Health:
        """Liveness probe."""
        return Health()

    @bentoml.api(route="/api/info", output_spec=Info)
    @answers_errors
    async def info(self, model: str = "") -> Info:
        """What the model can do."""
        return self.backend.info(model)


# what the decorator made of the class, which type checkers do not see
service: Any = MidiGPT
service.add_asgi_middleware(ErrorShape)
service.add_asgi_middleware(Intake, workers=parsers, limit=settings.max_body_bytes)
