"""What the routes and the BentoML methods have in common: the models, their queue, the answers.

Knows HTTP but no tensors: models come in through :class:`Model`.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from starlette.responses import Response

from midigpt.errors import GenerationError, MidiGPTError, RequestValidationError
from midigpt.server.departure import departure
from midigpt.server.errors import ApiError, invalid, malformed, unavailable
from midigpt.server.jobs import ClosedError, DuplicateJobError, JobQueue, Lane, QueueFullError
from midigpt.server.record import Record
from midigpt.server.schemas import Cancelling, ListedModel, Models, VerboseHealth
from midigpt.server.stream import Answer, Channel, EventStream

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from starlette.types import Receive

    from midigpt.server.config import Deployment, ModelEntry
    from midigpt.server.jobs import Job
    from midigpt.server.record import Books, Usage
    from midigpt.server.results import GenerateOutput
    from midigpt.server.schemas import GenerateInput, Info
    from midigpt.server.stream import Tell

logger = logging.getLogger("midigpt")


class Piece(Protocol):
    """A request that a model has accepted."""

    def plan(self) -> GenerateOutput:
        """The steps it would take."""

    def write(self, job: Job[Answer], tell: Tell | None) -> GenerateOutput:
        """Generate, looking at ``job.stop`` between tokens and telling notes as they come."""

    def unwritten(self, job: Job[Answer]) -> GenerateOutput:
        """The answer if it was cancelled before its turn."""

    @property
    def usage(self) -> Usage:
        """What writing has used so far."""


class Model(Protocol):
    """A loaded checkpoint."""

    @property
    def info(self) -> Info:
        """What it is and what it can do."""

    def piece(self, body: GenerateInput, ignored: list[str], check: Callable[[], None]) -> Piece:
        """Validate a request and plan it; called on any thread, also while another is written.

        ``check`` is called now and then; what it raises ends the planning.
        """


class _Served(NamedTuple):
    """A model and where it runs."""

    model: Model
    lane: Lane


class Backend:
    """The models behind one queue.

    Args:
        deployment: which models, and the limits of the queue.
        load: loads a model; called on a thread that will run it.
        workers: threads that validate and plan.
        books: where generations are written down.

    Attributes:
        jobs: the queue.
        books: as given.
        failure: why a model could not be loaded; None if all were or still are being loaded.
    """

    def __init__(
        self,
        deployment: Deployment,
        load: Callable[[ModelEntry], Model],
        workers: Executor,
        books: Books,
    ) -> None:
        self.jobs = JobQueue(deployment.max_queue, deployment.max_generation_seconds)
        self.failure: str | None = None
        self._deployment = deployment
        self._load = load
        self._workers = workers
        self.books = books
        self._served: dict[str, _Served] = {}

    async def start(self) -> None:
        """Load the models; afterwards either :attr:`ready` or :attr:`failure` is set."""
        served = {}
        for entry in self._deployment.models:
            lane = Lane(entry.max_parallel)
            try:
                model = await asyncio.wrap_future(lane.threads.submit(self._load, entry))
            except Exception as error:  # whatever it was, a server without a model must end
                if not isinstance(error, (MidiGPTError, OSError)):
                    logger.exception("unexpected error")
                self.failure = " ".join(str(error).split()) or type(error).__name__
                return
            served[entry.id] = _Served(model, lane)
        self._served = served

    @property
    def ready(self) -> bool:
        """Whether the models are loaded and requests are taken."""
        return bool(self._served) and not self.jobs.closed

    def health(self) -> VerboseHealth:
        """The state of the queue."""
        return VerboseHealth(inflight=self.jobs.inflight, max_queue=self.jobs.limit)

    def info(self, model: str | None = None) -> Info:
        """The model of that name, by default the default one.

        Raises:
            ApiError: there is no such model (400), or it is not loaded yet (503).
        """
        return self._named(model).model.info

    def models(self) -> Models:
        """The loaded models, in the order of the configuration.

        Raises:
            ApiError: they are not loaded yet (503).
        """
        default = self.info().default_model
        infos = [served.model.info for served in self._served.values()]
        listed = [ListedModel(id=info.model, checkpoint=info.checkpoint) for info in infos]
        return Models(default_model=default, models=listed)

    def cancel(self, request_id: str) -> Cancelling:
        """Cancel a request that is waiting or running.

        Raises:
            ApiError: there is none of this id (404).
        """
        if not self.jobs.cancel(request_id, "client"):
            raise ApiError(404, "not_found", "no request of this id is waiting or running")
        return Cancelling(request_id=request_id)

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
        served = self._named(body.model)
        config = body.request.config
        if body.stream and config.num_candidates > 1 and not config.plan_only:
            raise malformed("stream cannot be used with num_candidates above 1", "stream")
        async with departure(receive) as gone:
            piece = await self._prepared(served.model, body, ignored, gone)
            if config.plan_only:
                loop = asyncio.get_running_loop()
                plan = await loop.run_in_executor(self._workers, lambda: Answer.of(piece.plan()))
                return answer(body, plan)
            if not body.stream:
                return answer(body, await self._written(served, piece, body, gone))
        return self._streamed(served, piece, body)

    async def _prepared(
        self,
        model: Model,
        body: GenerateInput,
        ignored: list[str],
        gone: asyncio.Future[None],
    ) -> Piece:
        def check() -> None:
            if gone.done():
                raise ApiError(499, "client_gone", "the client has left")
            if self.jobs.closed:
                raise _stopping()

        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._workers, model.piece, body, ignored, check)
        except RequestValidationError as error:
            raise unfit(error) from None

    async def _written(
        self, served: _Served, piece: Piece, body: GenerateInput, gone: asyncio.Future[None]
    ) -> Answer:
        """Wait for the end of a generation; if its client leaves, that comes soon."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def wake(_job: Job[Answer]) -> None:
            loop.call_soon_threadsafe(ended.set)

        job = self._admit(served, piece, body, wake)
        end = asyncio.ensure_future(ended.wait())
        either: set[asyncio.Future[Any]] = {end, gone}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                job.cancel("disconnect")
                await end
        finally:
            end.cancel()
            # if the framework has given up on this request, its place is free again
            job.cancel("disconnect")
        if job.answer.cancelled():
            return Answer.of(piece.unwritten(job))
        error = job.answer.exception()
        if isinstance(error, GenerationError):
            raise ApiError(500, "inference_failed", str(error))
        return job.answer.result()

    def _streamed(self, served: _Served, piece: Piece, body: GenerateInput) -> Response:
        channel = Channel(body.request_id)

        def ended(job: Job[Answer]) -> None:
            channel.end(job.answer, lambda: piece.unwritten(job))

        job = self._admit(served, piece, body, ended, channel.tell)
        channel.queued(self.jobs.position(job))
        return EventStream(channel, lambda: job.cancel("disconnect"))

    def _named(self, model: str | None) -> _Served:
        if not self._served:
            raise unavailable("loading", self.failure or "the model is still being loaded")
        served = self._served.get(model or self._deployment.default_model)
        if served is None:
            loaded = ", ".join(self._served)
            raise ApiError(
                400, "unknown_model", f"there is no such model; loaded: {loaded}", path="model"
            )
        return served

    def _admit(
        self,
        served: _Served,
        piece: Piece,
        body: GenerateInput,
        tell_end: Callable[[Job[Answer]], None],
        tell: Tell | None = None,
    ) -> Job[Answer]:
        """Line up; what is called at the end must not hold the job, which it is given."""
        record = Record(self.books, served.model.info.model, body)

        def work(job: Job[Answer]) -> Answer:
            record.began(job)
            self.books.queue(self.jobs)
            return Answer.of(piece.write(job, tell))

        def ended(job: Job[Answer]) -> None:
            try:
                record.ended(job, piece.usage)
                self.books.queue(self.jobs)
            finally:
                tell_end(job)

        job = self._submit(served, body.request_id, work, ended)
        self.books.queue(self.jobs)
        return job

    def _submit(
        self,
        served: _Served,
        id_: str,
        work: Callable[[Job[Answer]], Answer],
        ended: Callable[[Job[Answer]], None],
    ) -> Job[Answer]:
        try:
            return self.jobs.submit(served.lane, id_, work, ended)
        except ClosedError:
            raise _stopping() from None
        except QueueFullError:
            limit = self.jobs.limit
            raise unavailable("busy", f"{limit} requests are waiting or running already") from None
        except DuplicateJobError:
            detail = "a request with this request_id is waiting or running"
            raise ApiError(409, "duplicate_request_id", detail, path="request_id") from None


def unfit(error: RequestValidationError) -> ApiError:
    """The refusal of a request: the engine's messages begin with the place of a member in it."""
    detail = str(error)
    place = re.match(r"(?:config|tracks|controls)\b[\w.\[\]]*", detail)
    if place:
        return invalid(f"request.{detail}", f"request.{place[0]}")
    place = re.match(r"score\b[\w.\[\]]*", detail)
    return invalid(detail, place[0] if place else None)


def answer(body: GenerateInput, content: Answer) -> Response:
    """A response with the request's id in its headers."""
    headers = {"X-Request-Id": body.request_id}
    return Response(content.json, media_type="application/json", headers=headers)


def _stopping() -> ApiError:
    return unavailable("shutting_down", "the server is stopping")
