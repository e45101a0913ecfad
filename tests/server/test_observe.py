import json
import logging
from concurrent.futures import ThreadPoolExecutor

import bentoml
import pytest
from _bentoml_impl.server.mount import PassiveMount
from bentoml._internal.configuration.containers import BentoMLContainer
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient

from midigpt.server.errors import ApiError
from midigpt.server.metrics import Metrics
from midigpt.server.observe import Observe, generation_span, quoted
from midigpt.server.shape import ErrorShape


async def generate(request):
    await request.body()
    return PlainTextResponse("music", headers={"X-Request-Id": "mine"})


async def refuse(_request):
    raise ApiError(503, "busy", "come back")


async def stream(_request):
    return StreamingResponse(iter(["a" * 10, "b" * 10]))


async def fail(_request):
    raise ZeroDivisionError


async def welcome(_request):
    return PlainTextResponse("ok")


@pytest.fixture
def metrics():
    return Metrics(["yellow"])


@pytest.fixture
def client(metrics, tmp_path):
    async def refused(_request, error):
        return error.response()

    (tmp_path / "a.css").write_text("")
    inner = Starlette(routes=[Route("/generate/{id}/cancel", welcome, methods=["POST"])])
    app = Starlette(
        routes=[
            Route("/generate", generate, methods=["POST"]),
            Route("/health", welcome),
            Route("/refuse", refuse),
            Route("/stream", stream),
            Route("/fail", fail),
            Mount("/static", StaticFiles(directory=tmp_path)),
            PassiveMount("/", inner),
        ],
        middleware=[Middleware(Observe, metrics=metrics), Middleware(ErrorShape)],
        exception_handlers={ApiError: refused},
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def lines(caplog):
    """The fields of the lines in the access log."""
    caplog.set_level(logging.DEBUG, "midigpt.access")

    def read():
        records = [record for record in caplog.records if record.name == "midigpt.access"]
        assert all(record.getMessage().startswith("access ") for record in records)
        return [dict(map(field, record.getMessage().split()[1:])) for record in records]

    return read


def field(text):
    name, value = text.split("=", 1)
    return name, json.loads(value) if value.startswith('"') else value


def test_a_request_is_one_line(client, lines):
    client.post("/generate?token=secret", content=b"score", headers={"X-Secret": "secret"})
    [line] = lines()
    assert 0 <= float(line.pop("seconds")) < 60
    assert line == {
        "method": "POST",
        "route": "/generate",
        "status": "200",
        "received": "5",
        "sent": "5",
        "request_id": "mine",
    }


def test_streams_and_errors(client, lines, metrics):
    client.get("/stream")
    client.get("/refuse")
    client.get("/fail")
    streamed, refused, failed = lines()
    assert (streamed["sent"], streamed["status"]) == ("20", "200")
    assert (refused["status"], refused["code"]) == ("503", "busy")
    assert (failed["status"], failed["code"]) == ("500", "internal")
    page = metrics.page().body.decode()
    assert 'midigpt_errors_total{code="busy"} 1.0' in page
    assert 'midigpt_errors_total{code="internal"} 1.0' in page


def test_routes_are_templates(client, lines):
    client.post("/generate/one/cancel")
    client.get("/generate/one/cancel")
    client.get("/static/a.css")
    client.get("/static/missing.css")
    client.delete("/health")
    client.get("/nowhere")
    found = [(line["route"], line["status"]) for line in lines()]
    assert found == [
        ("/generate/{id}/cancel", "200"),
        ("/generate/{id}/cancel", "405"),
        ("/static/{path}", "200"),
        ("/static/{path}", "404"),
        ("/health", "405"),
        ("(none)", "404"),
    ]


def test_what_there_is_not_is_named_in_one_short_plain_line(client, caplog):
    caplog.set_level(logging.INFO, "midigpt.access")
    client.get("/a%0Aaccess%20status=200%1B[31m%E2%99%AB" + "x" * 500)
    client.request("A|B" * 100, "/health")
    [there_is_not, method] = lines_of(caplog)
    assert r'path="/a\naccess status=200\u001b[31m\u266bxxx' in there_is_not
    assert there_is_not.isascii()
    assert there_is_not.isprintable()
    assert max(map(len, (there_is_not, method))) < 400


def lines_of(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "midigpt.access"]


def test_probes_are_logged_only_where_everything_is(client, caplog):
    caplog.set_level(logging.INFO, "midigpt.access")
    client.get("/health")
    assert lines_of(caplog) == []
    client.delete("/health")
    assert len(lines_of(caplog)) == 1
    caplog.set_level(logging.DEBUG, "midigpt.access")
    client.get("/health")
    assert "route=/health status=200" in lines_of(caplog)[1]


@pytest.mark.anyio
async def test_a_client_that_leaves(metrics, caplog):
    async def leaving(_scope, receive, _send):
        await receive()

    async def receive():
        return {"type": "http.disconnect"}

    caplog.set_level(logging.INFO, "midigpt.access")
    scope = {"type": "http", "method": "GET", "path": "/", "app": Starlette()}
    await Observe(leaving, metrics)(scope, receive, None)
    [line] = lines_of(caplog)
    assert "status=499" in line
    assert line.endswith(" left=true")


def test_series_are_few_whatever_is_asked_for(client, metrics):
    def ask(number):
        client.get(f"/scan/{number}.php")
        client.post(f"/generate/{number}/cancel")
        client.request("GET", f"/static/{number}.css")

    ask("first")
    few = len(metrics.page().body.splitlines())
    for number in range(170):
        ask(number)
    page = metrics.page().body.decode()
    assert len(page.splitlines()) == few
    assert page.count('endpoint="(none)"') > 0
    total = (
        'bentoml_service_request_total{endpoint="/generate/{id}/cancel",http_response_code="200"'
    )
    assert next(line for line in page.splitlines() if line.startswith(total)).endswith(" 171.0")


def test_quoting():
    assert quoted("/generate/{request_id}/cancel") == "/generate/{request_id}/cancel"
    assert quoted("") == '""'
    assert quoted('a b="c"') == r'"a b=\"c\""'
    assert quoted("é\n") == r'"\u00e9\n"'
    assert quoted("x" * 129) == "x" * 128 + "..."


@pytest.fixture
def spans():
    """The spans that were exported so far, and BentoML's tracer made to export them."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    BentoMLContainer.tracer_provider.set(provider)
    yield exporter.get_finished_spans
    BentoMLContainer.tracer_provider.reset()


def request_span():
    tracer = BentoMLContainer.tracer_provider.get().get_tracer("test")
    return tracer.start_as_current_span("POST /generate/secret/cancel")


def test_a_span_for_a_generation(spans):
    with request_span() as request, generation_span("yellow") as span:
        assert trace.get_current_span() is request
        span.ended("completed", tokens=7, waited=0.5)
    generation, outer = spans()
    assert generation.name == "midigpt.generate"
    assert generation.parent.span_id == outer.context.span_id
    assert dict(generation.attributes) == {
        "midigpt.model": "yellow",
        "midigpt.status": "completed",
        "midigpt.tokens": 7,
        "midigpt.waited_s": 0.5,
    }


def test_a_span_may_end_in_another_thread(spans):
    with ThreadPoolExecutor(1) as thread:
        block = generation_span("yellow")
        block.__enter__()
        thread.submit(block.__exit__, None, None, None).result()
    assert [span.name for span in spans()] == ["midigpt.generate"]


def test_the_span_of_a_failure_does_not_tell_the_music(spans):
    with pytest.raises(ValueError, match="secret"), generation_span("yellow"):
        raise ValueError("secret")
    [span] = spans()
    assert (span.status.is_ok, span.status.description) == (False, "ValueError")
    assert span.attributes["midigpt.status"] == "failed"
    assert "secret" not in span.to_json()


def test_without_an_exporter_spans_cost_nothing_worth_mentioning():
    with generation_span("yellow") as span:
        span.ended("completed", tokens=7, waited=0.5)
    assert span._span.end_time is not None


@bentoml.service(name="tiny", metrics={"enabled": False})
class Tiny:
    @bentoml.api
    async def write(self) -> str:
        with generation_span("yellow"):
            return "music"


def test_it_is_part_of_the_request_that_bentoml_traces(spans):
    with TestClient(Tiny.to_asgi()) as client:
        assert client.post("/write", json={}).status_code == 200
    found = {span.name: span for span in spans()}
    generation, request = found["midigpt.generate"], found["POST /write"]
    assert generation.parent.span_id == request.context.span_id
    assert generation.context.trace_id == request.context.trace_id


@pytest.mark.anyio
async def test_the_span_of_a_request_is_named_after_its_route(spans, metrics):
    app = Starlette(routes=[Route("/generate/{id}/cancel", welcome, methods=["POST"])])
    scope = {"type": "http", "method": "POST", "path": "/generate/secret/cancel", "app": app}
    with request_span():
        await Observe(answering, metrics)(scope, None, ignoring)
    [span] = spans()
    assert span.name == "POST /generate/{id}/cancel"
    assert span.attributes["http.route"] == "/generate/{id}/cancel"


async def answering(scope, receive, send):
    await PlainTextResponse("ok")(scope, receive, send)


async def ignoring(_message):
    pass


@pytest.fixture
def anyio_backend():
    return "asyncio"
