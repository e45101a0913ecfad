"""When the server ends: after a signal as soon as it has answered, or when nobody needs it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from midigpt.server.jobs import JobQueue

_POLL_S = 0.05
_MUSIC = {"/generate", "/generate_stream"}
_PROBES = {"/health", "/api/health", "/api/cancel"}


class Activity:
    """What clients want of the server.

    Attributes:
        open: requests for music that have not been answered.
        heard: those of them that are there to the end: others may never be.
        last: when a client last asked for something that keeps an idle server alive, in seconds of
            the monotonic clock.
    """

    def __init__(self) -> None:
        self.open = 0
        self.heard = 0
        self.last = time.monotonic()

    def touch(self) -> None:
        """A client asks for something now."""
        self.last = time.monotonic()

    def idle(self) -> float:
        """Seconds since anybody asked for something; 0 while somebody waits for music."""
        return 0.0 if self.open else time.monotonic() - self.last


class Watched:
    """Middleware that keeps an eye on what clients ask for.

    Args:
        app: what comes next.
        activity: told about it.
    """

    def __init__(self, app: ASGIApp, activity: Activity) -> None:
        self.app = app
        self._activity = activity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        path = scope.get("path", "")
        music = path in _MUSIC
        if music or path in _PROBES or path.endswith("/cancel"):
            self._activity.touch()
        if not music:
            await self.app(scope, receive, send)
            return
        self._activity.open += 1
        heard = False

        async def hear() -> Message:
            nonlocal heard
            message = await receive()
            if not heard and not message.get("more_body", False):
                heard = True
                self._activity.heard += 1
            return message

        try:
            await self.app(scope, hear, send)
        finally:
            self._activity.open -= 1
            self._activity.heard -= heard
            self._activity.touch()


async def settled(jobs: JobQueue, activity: Activity, seconds: float) -> None:
    """Wait until everybody has an answer, at most so long."""
    deadline = time.monotonic() + seconds
    while (jobs.inflight or activity.heard) and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_S)


async def end_when_idle(seconds: float, activity: Activity, end: Callable[[], None]) -> None:
    """End a server that nobody has asked for anything for so long."""
    while activity.idle() < seconds:
        await asyncio.sleep(min(0.5, seconds / 10))
    end()
