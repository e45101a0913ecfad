"""What the routes and the BentoML methods have in common: one model, one queue, the answers.

Knows HTTP but no tensors: the model comes in through :class:`Model`.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any, Protocol

from starlette.responses import Response

from midigpt.errors import GenerationError, MidiGPTError, RequestValidationError
from midigpt.server.errors import ApiError, invalid, malformed, unavailable
from midigpt.server.jobs import ClosedError, DuplicateJobError, JobQueue, QueueFullError
from midigpt.server.schemas import ListedModel, Models, VerboseHealth

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from starlette.types import Receive

    from midigpt.server.jobs import Job
    from midigpt.server.schemas import GenerateInput, GenerateOutput, Info

logger = logging.getLogger("midigpt")


class Piece(Protocol):
    """A request that a model has accepted."""

    def plan(self) -> GenerateOutput:
        """The steps it would take."""

    def write(self, job: Job[bytes]) -> GenerateOutput:
        """Generate, looking at ``job.stop`` between tokens."""

    def unwritten(self, job: Job[bytes]) -> GenerateOutput:
        """The answer if it was cancelled before its turn."""


class Model(Protocol):
    """A loaded checkpoint."""

    @property
    def info(self) -> Info:
        """What it is and what it can do."""

    def piece(self, body: GenerateInput, ignored: list[str]) -> Piece:
        """Validate a request and plan it; called on any thread, also while another is written."""


class Backend:
    """One model behind one queue.

    Args:
        load: loads the model; called once, on the thread that will run it.
        max_queue: most requests waiting and running.
        workers: threads that validate and plan.

    Attributes:
        jobs: the queue.
        failure: why the model could not be loaded; None if it was or still is being loaded.
    """

    def __init__(self, load: Callable[[], Model], max_queue: int, workers: Executor) -> None:
        self.jobs = JobQueue(max_queue)
        self.failure: str | None = None
        self._load = load
        self._workers = workers
        self._model: Model | None = None

    async def start(self) -> None:
        """Load the model; afterwards either :attr:`ready` or :attr:`failure` is set."""
        try:
            self._model = await asyncio.wrap_future(self.jobs.first(self._load))
        except Exception as error:  # whatever it was, a server without a model must end
            if not isinstance(error, (MidiGPTError, OSError)):
                logger.exception("unexpected error")
            self.failure = " ".join(str(error).split()) or type(error).__name__

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        return self._model is not None

    def health(self) -> VerboseHealth:
        """The state of the queue."""
        return VerboseHealth(inflight=self.jobs.inflight, max_queue=self.jobs.limit)

    def info(self, model: str | None = None) -> Info:
        """The model, if it is the one meant.

        Raises:
            ApiError: there is no such model (400), or it is not loaded yet (503).
        """
        return self._named(model).info

    def models(self) -> Models:
        """The loaded models.

        Raises:
            ApiError: none is loaded yet (503).
        """
        info = self.info()
        listed = [ListedModel(id=info.model, checkpoint=info.checkpoint)]
        return Models(default_model=info.default_model, models=listed)

    async def generate(self, body: GenerateInput, ignored: list[str], receive: Receive) -> Response:
        """Answer a request to generate, however long it takes.

        Args:
            body: the request.
            ignored: warnings about members that mean nothing.
            receive: where the client's leaving is noticed.

        Raises:
            ApiError: unknown model (400), impossible request (422), no room in the queue (503), an
                id in use (409), or a failed generation (500).
        """
        try:
            return await self._generate(body, ignored, receive)
        except ApiError as error:
            error.request_id = body.request_id
            raise

    async def _generate(
        self, body: GenerateInput, ignored: list[str], receive: Receive
    ) -> Response:
        model = self._named(body.model)
        check_supported(body)
        loop = asyncio.get_running_loop()
        try:
            piece = await loop.run_in_executor(self._workers, model.piece, body, ignored)
        except RequestValidationError as error:
            raise unfit(error) from None
        if body.request.config.plan_only:
            plan = await loop.run_in_executor(self._workers, lambda: as_json(piece.plan()))
            return answer(body, plan)
        job = self._admit(body.request_id, lambda job: as_json(piece.write(job)))
        await ended(job, receive)
        if job.answer.cancelled():
            return answer(body, as_json(piece.unwritten(job)))
        try:
            return answer(body, job.answer.result())
        except GenerationError as error:
            raise ApiError(500, "inference_failed", str(error)) from None

    def _named(self, model: str | None) -> Model:
        if self._model is None:
            raise unavailable("loading", self.failure or "the model is still being loaded")
        known = self._model.info.model
        if model and model != known:
            raise ApiError(400, "unknown_model", f"there is no such model; loaded: {known}")
        return self._model

    def _admit(self, id_: str, work: Callable[[Job[bytes]], bytes]) -> Job[bytes]:
        try:
            return self.jobs.submit(id_, work)
        except ClosedError:
            raise unavailable("shutting_down", "the server is stopping") from None
        except QueueFullError:
            limit = self.jobs.limit
            raise unavailable("busy", f"{limit} requests are waiting or running already") from None
        except DuplicateJobError:
            detail = "a request with this request_id is waiting or running"
            raise ApiError(409, "duplicate_request_id", detail, path="request_id") from None


def check_supported(body: GenerateInput) -> None:
    """Refuse what this server cannot do.

    Raises:
        ApiError: such a request (400 or 422).
    """
    config = body.request.config
    if config.plan_only:
        return
    if body.stream and config.num_candidates > 1:
        raise malformed("stream cannot be used with num_candidates above 1", "stream")
    if body.stream:
        raise invalid("stream is not supported by this server", "stream")
    if config.num_candidates > 1:
        path = "request.config.num_candidates"
        raise invalid(f"{path} above 1 is not supported by this server", path)


def unfit(error: RequestValidationError) -> ApiError:
    """The refusal of a request: the engine's messages begin with the place of a member in it."""
    detail = str(error)
    place = re.match(r"(?:config|tracks|controls)\b[\w.\[\]]*", detail)
    if place:
        return invalid(f"request.{detail}", f"request.{place[0]}")
    place = re.match(r"score\b[\w.\[\]]*", detail)
    return invalid(detail, place[0] if place else None)


def as_json(output: GenerateOutput) -> bytes:
    """The members of an answer that its kind has."""
    return output.model_dump_json(exclude_unset=True).encode()


def answer(body: GenerateInput, content: bytes) -> Response:
    """A response with the request's id in its headers."""
    headers = {"X-Request-Id": body.request_id}
    return Response(content, media_type="application/json", headers=headers)


async def ended(job: Job[bytes], receive: Receive) -> None:
    """Wait for the end of a job; if its client leaves, that comes soon."""
    end: asyncio.Future[Any] = asyncio.wrap_future(job.answer)
    gone: asyncio.Future[Any] = asyncio.ensure_future(_client_gone(receive))
    try:
        await asyncio.wait({end, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not end.done():
            job.cancel("disconnect")
            await asyncio.wait({end})
    finally:
        gone.cancel()
        job.cancel("time_limit")  # does nothing to a job that has ended


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
