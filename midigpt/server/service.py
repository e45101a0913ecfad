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
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any, ParamSpec, TypeVar

import bentoml
from bentoml._internal.utils.analytics import usage_stats
from starlette.responses import Response

from midigpt.inference.request import GenerationRequest
from midigpt.score import Score
from midigpt.server.backend import Backend, Model
from midigpt.server.config import ModelEntry, deployment
from midigpt.server.environment import with_environment
from midigpt.server.errors import ApiError
from midigpt.server.failures import FailedRequests
from midigpt.server.guard import Guard, allowed_origins, api_key
from midigpt.server.intake import Intake
from midigpt.server.life import Activity, Watched, end_when_idle, settled
from midigpt.server.metrics import Metrics
from midigpt.server.observe import Observe
from midigpt.server.preflight import StartError, check_checkpoint
from midigpt.server.process import end_server, give_up, supervised, watch_parent
from midigpt.server.record import Books
from midigpt.server.results import GenerateOutput
from midigpt.server.routes import routes
from midigpt.server.schemas import Cancelling, GenerateInput, Health, Info, Models, Streamed
from midigpt.server.settings import Settings
from midigpt.server.shape import ErrorShape
from midigpt.server.store import packed
from midigpt.server.untimed import Untimed

# nothing is reported to anybody; ``bentoml serve`` has looked before it came here
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
# before torch looks: for how long its threads spin while they wait for each other. Without it the
# medium size took 1.6 times as long on two idle cores; with GNU's own number, sixty times this one,
# five times as long where another program wanted one of them
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    os.environ["OMP_WAIT_POLICY"] = "passive"  # for other libraries than GNU's
usage_stats.do_not_track.cache_clear()

P = ParamSpec("P")
T = TypeVar("T")

# for running generations, after a signal to end
GRACE_S = 10
# for sending the last answers to slow readers, once everything has been cancelled
LAST_WORDS_S = 5
# a terminal or a service manager signals BentoML's supervisor and this process, and the supervisor
# passes it on: what comes so soon is still the first signal
ECHO_S = 1

logger = logging.getLogger("midigpt")

try:
    settings = with_environment(bentoml.use_arguments(Settings), os.environ, packed())
    deployed = deployment(settings)
    origins = allowed_origins(settings.cors_origins)
except StartError as error:
    sys.exit(str(error))
activity = Activity()
metrics = Metrics([entry.id for entry in deployed.models])
books = Books(metrics, FailedRequests.from_environment())
planners = ThreadPoolExecutor(2, thread_name_prefix="plan")


def load(entry: ModelEntry) -> Model:
    """Load a model; called in the worker process only."""
    from midigpt.server.generation import LoadedModel  # noqa: PLC0415 - imports torch

    return LoadedModel.load(entry, deployed.default_model)


def calm_collector() -> None:
    """Make full garbage collections rare.

    With a large score in memory one of them stops all threads for half a second, and finds little.
    """
    gc.collect()
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


@bentoml.service(
    name="midigpt",
    workers=1,
    # both are ours: BentoML's label and log whatever path anybody asks for
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(routes, path="/")
class MidiGPT:
    """Writes music with a MIDI-GPT checkpoint."""

    def __init__(self) -> None:
        self.backend = Backend(deployed, load, planners, books)
        self._stopped = 0.0

    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Refuse to start without a checkpoint; runs once, in the supervisor."""
        try:
            for entry in deployed.models:
                check_checkpoint(entry)
        except StartError as error:
            sys.exit(str(error))

    @bentoml.on_startup
    async def start(self) -> None:
        """Load the models in the background, so that probes are answered meanwhile."""
        for name in ("midigpt", "bentoml"):
            logging.getLogger(name).setLevel(deployed.log_level)
        watch_parent()
        self._stop_on_signals(asyncio.get_running_loop())
        self._life = asyncio.create_task(self._live())

    async def _live(self) -> None:
        await self.backend.start()
        calm_collector()
        if self.backend.failure is not None:
            logger.error("%s", self.backend.failure)
            give_up(self.backend.failure)
            return
        for warning in deployed.warnings:
            logger.warning("%s", warning)
        if settings.address:
            logger.info("listening on %s", settings.address)
        if deployed.idle_timeout:
            activity.touch()
            await end_when_idle(deployed.idle_timeout, activity, end_server)

    def _stop_on_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear of the end before BentoML does: it would close the door on those it still answers.

        The first signal lets everybody finish; the second ends the process.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            theirs = signal.getsignal(number)

            def stop(number: int, frame: FrameType | None, theirs: object = theirs) -> None:
                if self.backend.jobs.closed:
                    if not supervised() or time.monotonic() - self._stopped > ECHO_S:
                        os._exit(128 + number)
                    return
                self._stopped = time.monotonic()
                self.backend.jobs.close(GRACE_S)
                end = functools.partial(theirs, number, frame) if callable(theirs) else _nothing
                loop.call_soon_threadsafe(self._end, end)

            signal.signal(number, stop)

    def _end(self, end: Callable[[], object]) -> None:
        self._ending = asyncio.create_task(self._settle(end))

    async def _settle(self, end: Callable[[], object]) -> None:
        await settled(self.backend.jobs, activity, GRACE_S + LAST_WORDS_S)
        # whatever hangs on now, such as a client that does not read, is not waited for
        last = threading.Timer(LAST_WORDS_S, os._exit, (0,))
        last.daemon = True
        last.start()
        end()

    async def __is_ready__(self) -> bool:
        return self.backend.ready

    async def __is_alive__(self) -> bool:
        return self.backend.failure is None

    @bentoml.api(input_spec=GenerateInput, output_spec=GenerateOutput)
    async def generate(
        self,
        score: Score,
        request: GenerationRequest,
        request_id: str,
        stream: bool,
        model: str | None,
    ) -> Response:
        """Write the bars that the request names, and return the whole score."""
        return await self._generate(
            score=score, request=request, request_id=request_id, stream=stream, model=model
        )

    # a generator for BentoML's eyes only: that is how it knows a stream and tells its clients
    @bentoml.api(input_spec=GenerateInput, output_spec=Streamed)
    async def generate_stream(
        self,
        score: Score,
        request: GenerationRequest,
        request_id: str,
        stream: bool,  # noqa: ARG002 - this one always does
        model: str | None,
    ) -> AsyncGenerator[Response, None]:
        """Write the bars that the request names, and tell the notes as they come."""
        yield await self._generate(
            score=score, request=request, request_id=request_id, stream=True, model=model
        )

    @answers_errors
    async def _generate(self, **members: Any) -> Response:  # noqa: ANN401 - of different types
        body = GenerateInput.model_construct(**members)
        arrived = service.context.request
        return await self.backend.generate(body, arrived.state.ignored, arrived.receive)

    # GET /health and the like have the plain paths; generated clients can only POST
    @bentoml.api(route="/api/health")
    async def health(self) -> Health:
        """Liveness probe."""
        return Health()

    @bentoml.api(route="/api/info", output_spec=Info)
    @answers_errors
    async def info(self, model: str = "") -> Info:
        """What the model can do."""
        return self.backend.info(model)

    @bentoml.api(route="/api/models", output_spec=Models)
    @answers_errors
    async def models(self) -> Models:
        """The loaded models."""
        return self.backend.models()

    @bentoml.api(route="/api/cancel", output_spec=Cancelling)
    @answers_errors
    async def cancel(self, request_id: str) -> Cancelling:
        """Stop a generation that is waiting or running."""
        return self.backend.cancel(request_id)


def _nothing() -> None:
    """Instead of a handler that is none."""


# what the decorator made of the class, which type checkers do not see
service: Any = MidiGPT
service.add_asgi_middleware(Untimed)
service.add_asgi_middleware(Observe, metrics=metrics)
service.add_asgi_middleware(ErrorShape)
service.add_asgi_middleware(Guard, token=api_key(), origins=origins)
service.add_asgi_middleware(Watched, activity=activity)
service.add_asgi_middleware(Intake, limit=deployed.max_body_bytes)
