"""Errors as clients see them: one JSON object, whatever went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

ErrorCode = Literal[
    "malformed",
    "unknown_model",
    "unauthorized",
    "forbidden_origin",
    "not_found",
    "method_not_allowed",
    "timeout",
    "duplicate_request_id",
    "too_large",
    "unsupported_media_type",
    "invalid_request",
    "client_gone",
    "inference_failed",
    "internal",
    "busy",
    "loading",
    "shutting_down",
    "unavailable",
]
ERROR_CODES: dict[ErrorCode, str] = {
    "malformed": "400: not JSON, a member is missing or of the wrong type, a bad request_id",
    "unknown_model": "400: no such model is loaded",
    "unauthorized": "401: the server wants a key, and this request has none or a wrong one",
    "forbidden_origin": "403: sent by a web page of a site that is not allowed to",
    "not_found": "404: no such address; no such request is waiting or running",
    "method_not_allowed": "405: the address takes other methods, named in Allow",
    "timeout": "408: the body did not arrive in time",
    "duplicate_request_id": "409: a request of this id is waiting or running",
    "too_large": "413: the body is too long, or holds too many values",
    "unsupported_media_type": "415: the body is not JSON, or encoded",
    "invalid_request": "422: the request cannot be carried out",
    "client_gone": "499: the client left before there was an answer; only logs show it",
    "inference_failed": "500: the generation failed",
    "internal": "500: the server failed; its log says why",
    "busy": "503: too many requests; Retry-After says when to come back",
    "loading": "503: the models are still being loaded",
    "shutting_down": "503: the server is stopping",
    "unavailable": "503: a probe found the server not ready, or not alive",
}
"""Every code an error can have: its status, and what it means."""

LONGEST_DETAIL = 2000
RETRY_AFTER = {"Retry-After": "5"}


class ApiError(Exception):
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        code: machine-readable reason, one of :data:`ERROR_CODES`.
        detail: what is wrong, naming the member and what is accepted.
        path: the member, such as ``score.tracks[0].bars``.
        request_id: id of the request, once known.
        headers: further response headers.
    """

    def __init__(
        self,
        status: int,
        code: ErrorCode,
        detail: str,
        *,
        path: str | None = None,
        request_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.path = path
        self.request_id = request_id
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The answer: the error object, with the request's id in a header as well."""
        members = {
            "detail": clean(self.detail)[:LONGEST_DETAIL],
            "code": self.code,
            "path": self.path and clean(self.path),
            "request_id": self.request_id,
        }
        headers = self.headers
        if self.request_id is not None:
            headers = {**headers, "X-Request-Id": self.request_id}
        body = {name: value for name, value in members.items() if value is not None}
        return JSONResponse(body, self.status, headers)


def malformed(detail: str, path: str | None = None) -> ApiError:
    """A body that is not a generation request at all."""
    return ApiError(400, "malformed", detail, path=path)


def invalid(detail: str, path: str | None = None) -> ApiError:
    """A generation request that cannot be carried out."""
    return ApiError(422, "invalid_request", detail, path=path)


def unavailable(code: ErrorCode, detail: str) -> ApiError:
    """A request that may be sent again later."""
    return ApiError(503, code, detail, headers=RETRY_AFTER)


def clean(text: str) -> str:
    """The text without lone surrogates, which have no place in an answer's JSON."""
    return text.encode(errors="replace").decode()


async def answer_error(_request: Request, error: Exception) -> JSONResponse:
    """Starlette's handler for :class:`ApiError`."""
    if not isinstance(error, ApiError):
        raise error
    return error.response()
