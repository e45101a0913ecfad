"""Errors as clients see them: one JSON object, whatever went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

LONGEST_DETAIL = 2000
RETRY_AFTER = {"Retry-After": "5"}


class ApiError(Exception):
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        code: machine-readable reason.
        detail: what is wrong, naming the member and what is accepted.
        path: the member, such as ``score.tracks[0].bars``.
        request_id: id of the request, once known.
        headers: further response headers.
    """

    def __init__(
        self,
        status: int,
        code: str,
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


def unavailable(code: str, detail: str) -> ApiError:
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
