"""What can be counted and timed, for Prometheus.

The names that begin with ``bentoml_service`` are those of BentoML's own request metrics, so that
dashboards made for them keep working. BentoML's are switched off: they take every path that
anybody asks for as a label, and grow without end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from bentoml import server_context
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

from midigpt.server.errors import ERROR_CODES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from midigpt.server.errors import ErrorCode
    from midigpt.server.results import CancelReason

Outcome = Literal["completed", "failed", "cancelled"]

_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
_SPEEDS = (5.0, 10.0, 25.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0)
_OUTCOMES: tuple[tuple[Outcome, CancelReason | Literal[""]], ...] = (
    ("completed", ""),
    ("failed", ""),
    ("cancelled", "client"),
    ("cancelled", "time_limit"),
    ("cancelled", "disconnect"),
    ("cancelled", "shutdown"),
)


class Metrics:
    """The metrics of one process; to be made once in it. Safe to use from any thread.

    They are this process's own, wherever prometheus_client keeps their values. In the multiprocess
    mode that BentoML sets up these are files, which a second server of the same user deletes when
    it starts; here that does no harm.

    Args:
        models: ids of the models that are served; no other ids are ever used as labels.
    """

    def __init__(self, models: Iterable[str] = ()) -> None:
        # a time for every series, which would double the page
        disable_created_metrics()  # type: ignore[no-untyped-call]  # has no types
        self._registry = CollectorRegistry()
        self.requests = RequestMetrics(self._registry)
        self._errors = self._counter(
            "midigpt_errors", "Requests answered with an error, by its code", "code"
        )
        self._waiting = self._gauge("midigpt_queue_waiting", "Requests waiting for their turn")
        self._running = self._gauge("midigpt_queue_running", "Requests being generated")
        self._wait_seconds = self._histogram(
            "midigpt_wait_seconds", "Seconds a request waited for its turn", _SECONDS
        )
        self._generations = self._counter(
            "midigpt_generations", "Generations that ended", "model", "outcome", "reason"
        )
        self._seconds = self._histogram(
            "midigpt_generation_seconds", "Seconds from the turn of a request to its end", _SECONDS
        )
        self._tokens = self._counter("midigpt_generated_tokens", "Tokens generated", "model")
        self._speed = self._histogram(
            "midigpt_tokens_per_second", "Tokens a generation made per second", _SPEEDS
        )
        self._prompt = self._counter(
            "midigpt_prompt_tokens", "Tokens of prompts, those reused included", "model"
        )
        self._reused = self._counter(
            "midigpt_prompt_tokens_reused",
            "Tokens of prompts that did not have to be computed again",
            "model",
        )
        self._begin_at_zero(models)

    def waited(self, model: str, seconds: float) -> None:
        """The turn of a request came, or it was cancelled before."""
        self._wait_seconds.labels(model).observe(seconds)

    def generated(
        self,
        model: str,
        outcome: Outcome,
        *,
        reason: CancelReason | None = None,
        tokens: int = 0,
        seconds: float = 0.0,
        prompt: int = 0,
        reused: int = 0,
    ) -> None:
        """A generation ended.

        Args:
            model: id of the model.
            outcome: how it ended.
            reason: why it was cancelled; None if it was not.
            tokens: generated, in all candidates and attempts.
            seconds: from its turn to its end; 0 if its turn never came.
            prompt: tokens of its prompts.
            reused: how many of these were in the model's cache already.
        """
        self._generations.labels(model, outcome, reason or "").inc()
        self._tokens.labels(model).inc(tokens)
        self._prompt.labels(model).inc(prompt)
        self._reused.labels(model).inc(reused)
        if seconds > 0:
            self._seconds.labels(model).observe(seconds)
        if seconds > 0 and tokens:
            self._speed.labels(model).observe(tokens / seconds)

    def rejected(self, code: ErrorCode) -> None:
        """A request was answered with an error."""
        self._errors.labels(code).inc()

    def queue(self, waiting: int, running: int) -> None:
        """The queue is so long now."""
        self._waiting.set(waiting)
        self._running.set(running)

    def page(self) -> Response:
        """The answer of ``GET /metrics``; takes milliseconds."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    def _begin_at_zero(self, models: Iterable[str]) -> None:
        """Show every series from the start: a rate over one that appears later misses its first."""
        for code in ERROR_CODES:
            self._errors.labels(code)
        for model in models:
            for outcome in _OUTCOMES:
                self._generations.labels(model, *outcome)
            for counter in (self._tokens, self._prompt, self._reused):
                counter.labels(model)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=self._registry)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(name, what, registry=self._registry, multiprocess_mode="livesum")

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, what, ("model",), registry=self._registry, buckets=buckets)


class RequestMetrics:
    """BentoML's request metrics, with the template of a route where BentoML's have the path.

    Args:
        registry: where they are collected.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        service = ("endpoint", "service_name", "service_version", "runner_name")
        self._total = Counter(
            "bentoml_service_request",
            "Total number of HTTP requests",
            (*service, "http_response_code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "bentoml_service_request_duration_seconds",
            "API HTTP request duration in seconds",
            (*service, "http_response_code"),
            registry=registry,
            buckets=_SECONDS,
        )
        self._in_progress = Gauge(
            "bentoml_service_request_in_progress",
            "Total number of HTTP requests in progress now",
            service,
            registry=registry,
            multiprocess_mode="livesum",
        )

    def began(self, route: str) -> None:
        """A request has arrived."""
        self._in_progress.labels(*self._service(route)).inc()

    def ended(self, route: str, status: int, seconds: float) -> None:
        """It has been answered, or its client has left."""
        service = self._service(route)
        self._in_progress.labels(*service).dec()
        self._total.labels(*service, status).inc()
        self._seconds.labels(*service, status).observe(seconds)

    @staticmethod
    def _service(route: str) -> tuple[str, str, str, str]:
        context = server_context
        return route, context.bento_name, context.bento_version, context.service_name or ""
