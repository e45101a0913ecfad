"""What operators see of requests: a line in the log, metrics, and spans. Never the music.

The line is ``access key=value ...`` and not JSON: BentoML puts the time and the process in front of
every line and ids of the trace behind it, so that a line of JSON would not be one. Values that are
not plain words are quoted as JSON strings, which escapes control characters.
"""

from __future__ import annotations

import json
import logging
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bentoml._internal.configuration.containers import BentoMLContainer
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode
from starlette.datastructures import Headers
from starlette.routing import Match, Mount, Route

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.trace import Span
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from midigpt.server.metrics import Metrics

logger = logging.getLogger("midigpt.access")

NO_ROUTE = "(none)"
"""The route of requests for what there is not."""

_LONGEST = 128
_PLAIN = re.compile(r"[\w./:~{}()-]+", re.ASCII)
# asked for again and again by machines, which get to know whether the server is ready
_PROBES = {"/health", "/livez", "/readyz", "/healthz", "/metrics"}
_ROUTINE = {200, 503}
_CLIENT_GONE = 499


class Observe:
    """Middleware that logs and counts requests.

    Args:
        app: what comes next.
        metrics: where requests and errors are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        _name_span(exchange.route, scope["method"])
        self._metrics.requests.began(exchange.route)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        finally:
            self._ended(exchange, scope)

    def _ended(self, exchange: _Exchange, scope: Scope) -> None:
        seconds = time.perf_counter() - exchange.began
        code = scope.get("state", {}).get("error_code")
        self._metrics.requests.ended(exchange.route, exchange.status, seconds)
        if code is not None:
            self._metrics.rejected(code)
        quiet = exchange.route in _PROBES and exchange.status in _ROUTINE
        level = logging.DEBUG if quiet else logging.INFO
        if logger.isEnabledFor(level):
            logger.log(level, "access %s", _line(exchange, scope, seconds, code))


class _Exchange:
    """One request and its answer, as they pass by.

    Attributes:
        route: template of the route that answers.
        began: when it arrived, by the performance counter, in seconds.
        status: of the answer; 499 as long as there is none.
        received: bytes of the body that were read.
        sent: bytes of the answer's body.
        request_id: from the answer's headers; "" if there is none.
        left: whether the client left before the whole answer was sent.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.route = route_of(scope["app"].routes, scope) or NO_ROUTE
        self.began = time.perf_counter()
        self.status = _CLIENT_GONE
        self.received = self.sent = 0
        self.request_id = ""
        self.left = False
        self._complete = False
        self._receive, self._send = receive, send

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        self.left |= message["type"] == "http.disconnect" and not self._complete
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.request_id = Headers(raw=message.get("headers", [])).get("x-request-id", "")
        elif message["type"] == "http.response.body":
            self.sent += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
        await self._send(message)


def route_of(routes: Sequence[BaseRoute], scope: Scope) -> str:
    """The template of the route that a request is for, whatever its method; "" if there is none."""
    for route in routes:
        match, inner = route.matches(scope)
        if match is Match.NONE:
            continue
        if isinstance(route, Route):
            return route.path
        if isinstance(route, Mount):
            # of files, which have no routes, there are as many as there are
            below = route_of(route.routes, {**scope, **inner}) if route.routes else "/{path}"
            if below:
                return route.path + below
    return ""


def _line(exchange: _Exchange, scope: Scope, seconds: float, code: str | None) -> str:
    fields: dict[str, object] = {
        "method": scope["method"],
        "route": exchange.route,
        "path": scope["path"] if exchange.route == NO_ROUTE else None,
        "status": exchange.status,
        "seconds": f"{seconds:.3f}",
        "received": exchange.received,
        "sent": exchange.sent,
        "code": code,
        "request_id": exchange.request_id or None,
        "left": "true" if exchange.left else None,
    }
    return " ".join(
        f"{name}={quoted(str(value))}" for name, value in fields.items() if value is not None
    )


def quoted(value: str) -> str:
    """A value as it is written to the log: on one line, of a limited length, in ASCII."""
    if len(value) > _LONGEST:
        value = f"{value[:_LONGEST]}..."
    return value if _PLAIN.fullmatch(value) else json.dumps(value)


def _name_span(route: str, method: str) -> None:
    """Name the request's span after its route; BentoML names it after the path."""
    span = trace.get_current_span()
    if span.is_recording():
        span.update_name(f"{method[:_LONGEST]} {route}")
        span.set_attribute("http.route", route)


class GenerationSpan:
    """The span of one generation, which any thread may end."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def ended(self, status: str, *, tokens: int, waited: float) -> None:
        """Note how the generation ended.

        Args:
            status: ``completed`` or ``cancelled``.
            tokens: generated.
            waited: seconds before its turn came.
        """
        self._span.set_attributes(
            {"midigpt.status": status, "midigpt.tokens": tokens, "midigpt.waited_s": waited}
        )


@contextmanager
def generation_span(model: str) -> Iterator[GenerationSpan]:
    """A span ``midigpt.generate`` below that of the current request, as long as the block.

    An exception marks it as failed. It does not become the current span, so that the block may be
    left in another task or thread than it was entered in, as streams are.
    """
    tracer = BentoMLContainer.tracer_provider.get().get_tracer("midigpt")
    span = tracer.start_span("midigpt.generate", attributes={"midigpt.model": model})
    try:
        yield GenerationSpan(span)
    except Exception as error:
        # the message may hold what a client sent
        span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        span.set_attribute("midigpt.status", "failed")
        raise
    finally:
        span.end()
