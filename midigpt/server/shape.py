"""Whatever answers an error, clients see one form of it.

BentoML and Starlette have error bodies of their own: plain text, lists, no detail at all.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from midigpt.server.errors import ApiError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("midigpt")

_MEANINGS = {
    400: ("malformed", "the request is malformed"),
    404: ("not_found", "there is nothing at {path}"),
    405: ("method_not_allowed", "{path} does not take {method}"),
    415: ("unsupported_media_type", "Content-Type must be application/json"),
    500: ("internal", "the server failed on this request; its log says why"),
    503: ("unavailable", "the server is not ready"),
}


class ErrorShape:
    """Middleware that turns foreign error bodies into ours and answers unexpected exceptions.

    Args:
        app: what comes next.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(scope, receive, send)
        try:
            await self.app(scope, receive, answer.send)
        except Exception:
            if answer.started:
                raise
            logger.exception("unexpected error")
            await _meaning(500, scope).response()(scope, receive, send)


class _Answer:
    """Passes an answer on, except for an error: that is held back until it is complete."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.started = False
        self._scope, self._receive, self._send = scope, receive, send
        self._start: Message = {}
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._start = message
        elif not self._start:
            self.started = True
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish()

    async def _finish(self) -> None:
        self.started = True
        if _is_ours(self._body):
            await self._send(self._start)
            await self._send({"type": "http.response.body", "body": bytes(self._body)})
            return
        error = _meaning(self._start["status"], self._scope)
        sent = Headers(raw=self._start["headers"])
        error.headers = {name: sent[name] for name in ("allow", "retry-after") if name in sent}
        await error.response()(self._scope, self._receive, self._send)


def _is_ours(body: bytes | bytearray) -> bool:
    try:
        error = json.loads(body)
    except ValueError:
        return False
    return isinstance(error, dict) and isinstance(error.get("detail"), str) and "code" in error


def _meaning(status: int, scope: Scope) -> ApiError:
    code, detail = _MEANINGS.get(status, ("error", "the request failed"))
    body = scope.get("state", {}).get("body")
    path = scope["path"] if len(scope["path"]) <= 80 else f"{scope['path'][:80]}..."
    detail = detail.format(path=path, method=scope["method"])
    return ApiError(status, code, detail, request_id=body.request_id if body else None)
