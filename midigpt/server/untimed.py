"""Doing without BentoML's limit on the time to the first byte of an answer.

It cannot be switched off, counts the time in the queue, and keeps a timer for every request until
the limit has passed, however soon that was answered. With a limit of hours, as long generations
need it, these are some kilobytes for each request of hours. The limits of this server are its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bentoml._internal.server.http.traffic import TimeoutMiddleware

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send


class Untimed:
    """Middleware that takes BentoML's limit out of the way when the application starts.

    Args:
        app: what comes next.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, whatever it is."""
        if scope["type"] == "lifespan":
            lift(scope["app"])
        await self.app(scope, receive, send)


def lift(app: Starlette) -> None:
    """Take the limit out of an application whose middleware has been put together."""
    layer: Any = app.middleware_stack
    while (inner := getattr(layer, "app", None)) is not None:  # the innermost has nothing below
        if isinstance(inner, TimeoutMiddleware):
            layer.app = inner.app
            return
        layer = inner
