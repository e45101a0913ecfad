"""Reading the bodies of ``POST`` requests, before BentoML sees them.

BentoML parses bodies on the event loop, without a limit, and answers errors in a form of its own.
"""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers

from midigpt.inference.reading import named
from midigpt.server.errors import ApiError, malformed
from midigpt.server.parse import load_json, parse
from midigpt.server.problems import kind

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MUSIC = {"/generate": False, "/generate_stream": True}
"""Addresses whose bodies are requests for music, and whether they always stream."""
_APIS = "/api/"
_REQUIRED = {"/api/cancel": "request_id"}
_API_LIMIT = 2**16

_JSON = re.compile(r"application/([\w.!#$&^-]+\+)?json", re.IGNORECASE)
_PATIENCE_S = 60
# a body of so many bytes is parsed in tens of milliseconds; longer ones do not keep it waiting
_SMALL = 2**20
_LARGE_AT_ONCE = 8


class Intake:
    """Middleware that reads, limits and checks bodies, off the event loop where it takes long.

    Of long bodies, few are in memory before they are parsed, and one at a time is parsed.

    Args:
        app: what comes next. Of a request for music it finds the body in ``request.state.body``
            and the names of members that were ignored in ``request.state.ignored``.
        limit: longest body of a request for music in bytes; those of the other APIs are short.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self._limit = limit
        self._quick = ThreadPoolExecutor(1, thread_name_prefix="parse")
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="parse-long")
        self._places = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            try:
                receive = await self._taken(scope, receive)
            except ApiError as error:
                await error.response()(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _taken(self, scope: Scope, receive: Receive) -> Receive:
        """Read the body if it is one of those; where the app may read it, or what follows it."""
        path = scope["path"]
        if not path.isprintable():
            # the router would overlook a line feed at the end, and what is below would not
            raise ApiError(404, "not_found", "no address has control characters")
        if scope["method"] == "POST" and path in _MUSIC:
            await self._take_music(scope, receive)
        elif scope["method"] == "POST" and path.startswith(_APIS):
            return await self._take_members(scope, receive)
        return receive

    async def _take_music(self, scope: Scope, receive: Receive) -> None:
        check_headers(Headers(scope=scope), self._limit)
        async with AsyncExitStack() as places:
            body = await self._read(receive, self._limit, places)
            workers = self._quick if len(body) <= _SMALL else self._slow
            loop = asyncio.get_running_loop()
            parsed, ignored = await loop.run_in_executor(workers, parse, body)
        parsed.stream |= _MUSIC[scope["path"]]
        scope.setdefault("state", {}).update(body=parsed, ignored=ignored)

    async def _take_members(self, scope: Scope, receive: Receive) -> Receive:
        """Check the body of an API of generated clients, and return where to read it again."""
        check_headers(Headers(scope=scope), _API_LIMIT)
        async with AsyncExitStack() as places:
            body = await self._read(receive, _API_LIMIT, places)
        members = json.dumps(read_members(body, scope["path"])).encode()
        return _again(members, receive)

    async def _read(self, receive: Receive, limit: int, places: AsyncExitStack) -> bytes:
        try:
            return await asyncio.wait_for(self._arrived(receive, limit, places), _PATIENCE_S)
        except asyncio.TimeoutError:
            late = f"the body did not arrive within {_PATIENCE_S} s"
            raise ApiError(408, "timeout", late, headers={"Connection": "close"}) from None

    async def _arrived(self, receive: Receive, limit: int, places: AsyncExitStack) -> bytes:
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ApiError(499, "client_gone", "the client left before the body was complete")
            was_small = len(body) <= _SMALL
            body += message.get("body", b"")
            if len(body) > limit:
                raise _too_large(limit)
            if was_small and len(body) > _SMALL:
                await places.enter_async_context(self._places)
            more = message.get("more_body", False)
        return bytes(body)


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


def read_members(body: bytes, path: str) -> dict[str, Any]:
    """The members of the body of an API of generated clients; they are all strings.

    Those that are null are left out, and no body at all is one without members.

    Raises:
        ApiError: it is something else, or lacks what this API needs (400).
    """
    members = load_json(body) if body.strip() else {}
    if not isinstance(members, dict):
        raise malformed(f"the body must be an object, got {kind(members)}")
    members = {name: value for name, value in members.items() if value is not None}
    for name, value in members.items():
        if not isinstance(value, str):
            shown = named(name)
            raise malformed(f"{shown} must be a string, got {kind(value)}", shown)
    required = _REQUIRED.get(path)
    if required is not None and required not in members:
        raise malformed(f"{required} is missing", required)
    return members


def _again(body: bytes, receive: Receive) -> Receive:
    """A source that has the body first, whole, and then what comes after it."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return first.pop() if first else await receive()

    return next_message


def _unsupported(detail: str) -> ApiError:
    return ApiError(415, "unsupported_media_type", detail)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "too_large", f"the body is longer than {limit} bytes")
