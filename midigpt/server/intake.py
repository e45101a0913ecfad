"""Reading the bodies of ``POST /generate``, before BentoML sees them.

BentoML parses bodies on the event loop, without a limit, and answers errors in a form of its own.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from midigpt.server.errors import ApiError
from midigpt.server.parse import parse

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from starlette.types import ASGIApp, Receive, Scope, Send

_JSON = re.compile(r"application/([\w.!#$&^-]+\+)?json", re.IGNORECASE)
_PATIENCE_S = 60


class Intake:
    """Middleware that reads, limits and checks bodies, off the event loop where it takes long.

    Args:
        app: what comes next; finds the body in ``request.state.body`` and the names of members
            that were ignored in ``request.state.ignored``.
        workers: threads that parse.
        limit: longest body in bytes.
    """

    def __init__(self, app: ASGIApp, workers: Executor, limit: int) -> None:
        self.app = app
        self._workers = workers
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", "/generate"):
            await self.app(scope, receive, send)
            return
        try:
            check_headers(Headers(scope=scope), self._limit)
            body = await asyncio.wait_for(_read(receive, self._limit), _PATIENCE_S)
            loop = asyncio.get_running_loop()
            parsed, ignored = await loop.run_in_executor(self._workers, parse, body)
        except asyncio.TimeoutError:
            late = f"the body did not arrive within {_PATIENCE_S} s"
            refusal = ApiError(408, "timeout", late, headers={"Connection": "close"})
            await refusal.response()(scope, receive, send)
        except ApiError as error:
            await error.response()(scope, receive, send)
        else:
            scope.setdefault("state", {}).update(body=parsed, ignored=ignored)
            await self.app(scope, receive, send)


def check_headers(headers: Headers, limit: int) -> None:
    """Check what can be told before the body is there.

    Raises:
        ApiError: not JSON or encoded (415), or too long (413).
    """
    media = headers.get("content-type", "application/json").partition(";")[0].strip()
    if not _JSON.fullmatch(media):
        raise _unsupported("Content-Type must be application/json")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise _unsupported("Content-Encoding must be identity: send the body as it is")
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)


async def _read(receive: Receive, limit: int) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return bytes(body)


def _unsupported(detail: str) -> ApiError:
    return ApiError(415, "unsupported_media_type", detail)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "too_large", f"the body is longer than {limit} bytes")
