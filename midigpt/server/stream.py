"""Server-sent events: a generation told while it goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.responses import Response

from midigpt.errors import GenerationError
from midigpt.server.departure import departure
from midigpt.server.results import ErrorFrame, Frame, QueuedFrame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from concurrent.futures import Future

    from starlette.types import Receive, Scope, Send

    from midigpt.server.results import GenerateOutput

logger = logging.getLogger("midigpt")

SILENCE_S = 15
"""Seconds without a frame after which a comment shows that the connection is alive."""

Tell = Callable[[Frame], None]


class Answer(NamedTuple):
    """A result as it is sent.

    Attributes:
        completed: whether it was not cancelled.
        json: its JSON.
    """

    completed: bool
    json: bytes

    @classmethod
    def of(cls, output: GenerateOutput) -> Answer:
        """The members of an answer that its kind has."""
        json = output.model_dump_json(exclude_unset=True).encode()
        return cls(output.status == "completed", json)


class Channel:
    """Frames on their way from the model's thread to the event loop that made the channel.

    Args:
        request_id: id of the request that is told about.
    """

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self._loop = asyncio.get_running_loop()
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()

    def tell(self, frame: Frame) -> None:
        """Send a frame; called on any thread."""
        self._put(_frame(frame.model_dump_json().encode()))

    def queued(self, position: int) -> None:
        """Tell that others are first, if any are."""
        if position:
            self.tell(QueuedFrame(request_id=self.request_id, position=position))

    def end(self, answer: Future[Answer], unwritten: Callable[[], GenerateOutput]) -> None:
        """Send the last frame; called when the generation has ended, on any thread."""
        if answer.cancelled():
            self._put(_result(Answer.of(unwritten())))
        elif (error := answer.exception()) is not None:
            self.tell(self._failure(error))
        else:
            self._put(_result(answer.result()))
        self._put(None)

    def _failure(self, error: BaseException) -> ErrorFrame:
        detail, code = str(error), "inference_failed"
        if not isinstance(error, GenerationError):
            logger.error("unexpected error", exc_info=error)
            detail, code = "the server failed on this request; its log says why", "internal"
        return ErrorFrame(
            request_id=self.request_id, error=detail, detail=detail, code=code, status=500
        )

    def _put(self, data: bytes | None) -> None:
        self._loop.call_soon_threadsafe(self._frames.put_nowait, data)

    async def next(self) -> bytes | None:
        """The next frame; None after the last one."""
        return await self._frames.get()


class EventStream(Response):
    """Sends the frames of a channel; if the client leaves, the generation is told to stop.

    Args:
        channel: where the frames come from.
        stop: stops the generation; does nothing to one that has ended.
    """

    def __init__(self, channel: Channel, stop: Callable[[], None]) -> None:
        headers = {
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-cache",
            "X-Accel-Buffering": "no",
            "X-Request-Id": channel.request_id,
        }
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._channel = channel
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Answer."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            await send(start)
            async with departure(receive) as gone:
                async for data in self._data(gone):
                    await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._stop()
        if self.background is not None:
            await self.background()

    async def _data(self, gone: asyncio.Future[None]) -> AsyncIterator[bytes]:
        """Frames, and comments where none come, until the last one or the client has left."""
        while not gone.done():
            frame = asyncio.ensure_future(self._channel.next())
            either: set[asyncio.Future[Any]] = {frame, gone}
            try:
                await asyncio.wait(either, timeout=SILENCE_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
                frame.cancel()
            if frame.done():
                data = frame.result()
                if data is None:
                    return
                yield data
            elif not gone.done():
                yield b": still here\n\n"


def _result(answer: Answer) -> bytes:
    kind = b"done" if answer.completed else b"cancelled"
    return _frame(b'{"type":"' + kind + b'","response":' + answer.json + b"}")


def _frame(json: bytes) -> bytes:
    return b"data: " + json + b"\n\n"
