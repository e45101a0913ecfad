"""Whatever answers an error, clients see one form of it.

BentoML and Starlette have error bodies of their own: plain text, lists, no detail at all.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from bentoml.exceptions import BentoMLException
from pydantic import ValidationError
from starlette.datastructures import Headers

from midigpt.server.errors import ERROR_CODES, ApiError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from midigpt.server.errors import ErrorCode

logger = logging.getLogger("midigpt")

_LONGEST_SHOWN = 80
_MEANINGS: dict[int, tuple[ErrorCode, str]] = {
    400: ("malformed", "the request is malformed"),
    401: ("unauthorized", "{path} is not for everybody"),
    404: ("not_found", "there is nothing at {path}"),
    405: ("method_not_allowed", "{path} does not take {method}"),
    415: ("unsupported_media_type", "Content-Type must be application/json"),
    500: ("internal", "the server failed on this request; its log says why"),
    503: ("unavailable", "the server is not ready"),
}


class ErrorShape:
    """Middleware that turns foreign error bodies into ours and answers unexpected exceptions.

    The code of an error is left in ``scope["state"]["error_code"]`` for those outside.

    Args:
        app: what comes next.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        _bentoml_log.addFilter(_discreet)

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
            await answer.fail(_meaning(500, scope))


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

    async def fail(self, error: ApiError) -> None:
        self.started = True
        self._remember(error.code)
        await error.response()(self._scope, self._receive, self._send)

    async def _finish(self) -> None:
        code = _our_code(self._body)
        if code is None:
            error = _meaning(self._start["status"], self._scope)
            sent = Headers(raw=self._start.get("headers", [])).items()
            error.headers = {name: value for name, value in sent if not name.startswith("content-")}
            await self.fail(error)
            return
        self.started = True
        self._remember(code)
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": bytes(self._body)})

    def _remember(self, code: ErrorCode) -> None:
        self._scope.setdefault("state", {})["error_code"] = code


def _our_code(body: bytes | bytearray) -> ErrorCode | None:
    """The code of an error that has our form already."""
    try:
        error = json.loads(body)
    except ValueError:
        return None
    if not isinstance(error, dict) or not isinstance(error.get("detail"), str):
        return None
    return next((code for code in ERROR_CODES if code == error.get("code")), None)


def _meaning(status: int, scope: Scope) -> ApiError:
    code, detail = _MEANINGS.get(status, _MEANINGS[500 if status >= 500 else 400])
    body = scope.get("state", {}).get("body")
    detail = detail.format(path=_short(scope["path"]), method=_short(scope["method"]))
    return ApiError(status, code, detail, request_id=body.request_id if body else None)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


class _Discreet(logging.Filter):
    """What BentoML logs of requests it refuses, without what the client sent.

    The message of a validation error, which the traceback ends with, repeats the values.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, ValidationError):
            wrong = error.errors(include_url=False, include_context=False, include_input=False)
            self._shorten(record, f"{error.title}, {wrong[0]['type']}")
        elif isinstance(error, BentoMLException) and error.error_code < 500:
            self._shorten(record, type(error).__name__)
        return True

    @staticmethod
    def _shorten(record: logging.LogRecord, reason: str) -> None:
        record.msg, record.args = f"{record.getMessage()}: {reason}", ()
        record.exc_info = record.exc_text = None


_bentoml_log = logging.getLogger("bentoml._internal.server.http_app")
_discreet = _Discreet()
