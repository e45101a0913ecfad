import logging

import pytest
from bentoml.exceptions import BentoMLException, NotFound
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from midigpt.server.errors import malformed, unavailable
from midigpt.server.shape import ErrorShape


def client(answer, states=None):
    async def endpoint(_request):
        return answer()

    # the middleware is outermost here: Starlette's own answer to exceptions would come first
    app = Starlette(routes=[Route("/x", endpoint)])
    app.router.redirect_slashes = False
    shaped = ErrorShape(app.router)

    async def outermost(scope, receive, send):
        try:
            await shaped(scope, receive, send)
        finally:
            if states is not None:
                states.append(scope.get("state"))

    return TestClient(outermost, raise_server_exceptions=False)


def test_answers_pass_untouched():
    states = []
    web = client(lambda: StreamingResponse(iter(["a", "b"]), 201, {"x-y": "z"}), states)
    answer = web.get("/x")
    assert (answer.status_code, answer.text, answer.headers["x-y"]) == (201, "ab", "z")
    assert "error_code" not in (states[0] or {})


def test_our_errors_pass_untouched():
    states = []
    answer = client(lambda: malformed("it is bad", "score").response(), states).get("/x")
    assert answer.json() == {"detail": "it is bad", "code": "malformed", "path": "score"}
    assert states[0]["error_code"] == "malformed"


@pytest.mark.parametrize(
    ("foreign", "code"),
    [
        (lambda: PlainTextResponse("Not Found", 404), "not_found"),
        (lambda: JSONResponse([{"error": "bad"}], 400), "malformed"),
        (lambda: JSONResponse({"error": "1 validation error", "detail": [{}]}, 400), "malformed"),
        (lambda: JSONResponse({"detail": "x", "code": "no code of ours"}, 404), "not_found"),
        (lambda: StreamingResponse(iter(["a", "b"]), 415), "unsupported_media_type"),
        (lambda: JSONResponse({"error": "unexpected"}, 500), "internal"),
        (lambda: PlainTextResponse("", 503, {"retry-after": "7"}), "unavailable"),
        (lambda: PlainTextResponse("", 418), "malformed"),
        (lambda: PlainTextResponse("", 504), "internal"),
    ],
)
def test_foreign_errors_take_our_form(foreign, code):
    states = []
    answer = client(foreign, states).get("/x")
    assert answer.status_code == foreign().status_code
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.json()["code"] == states[0]["error_code"] == code
    assert isinstance(answer.json()["detail"], str)


def test_the_headers_of_foreign_errors_stay():
    headers = {"retry-after": "7", "vary": "Origin", "access-control-allow-origin": "http://a"}
    answer = client(lambda: PlainTextResponse("", 503, headers)).get("/x")
    assert {name: answer.headers[name] for name in headers} == headers
    busy = client(lambda: unavailable("busy", "come back").response()).get("/x")
    assert busy.headers["retry-after"] == "5"


def test_paths_that_do_not_exist_and_methods_that_do_not_fit():
    web = client(lambda: PlainTextResponse(""))
    assert web.get("/" + "y" * 100).json()["detail"] == f"there is nothing at /{'y' * 79}..."
    answer = web.post("/x")
    assert answer.json() == {"detail": "/x does not take POST", "code": "method_not_allowed"}
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert len(web.request("M" * 500, "/x").json()["detail"]) < 120


def test_an_unexpected_exception_is_logged_and_answered(caplog):
    def fail():
        raise ZeroDivisionError("secret")

    states = []
    with caplog.at_level(logging.ERROR, "midigpt"):
        answer = client(fail, states).get("/x")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert states[0]["error_code"] == "internal"
    assert "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_an_exception_after_the_first_byte_can_only_break_the_connection():
    def broken():
        yield "a"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        TestClient(client(lambda: StreamingResponse(broken())).app).get("/x")


class Body(BaseModel):
    model: str


def refuse_body():
    Body.model_validate({"model": {"music": "secret"}})


def refuse():
    raise NotFound("secret")


def break_down():
    raise BentoMLException("on fire")


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        (refuse_body, "Exception on /x [POST]: Body, string_type"),
        (refuse, "Exception on /x [POST]: NotFound"),
        (break_down, "Exception on /x [POST]"),
    ],
)
def test_what_bentoml_logs_of_refusals_holds_nothing_that_was_sent(caplog, fail, message):
    client(lambda: None)
    log = logging.getLogger("bentoml._internal.server.http_app")
    try:
        fail()
    except Exception:
        log.addHandler(caplog.handler)  # BentoML's loggers do not pass anything on to others
        log.exception("Exception on %s [%s]", "/x", "POST")
        log.removeHandler(caplog.handler)
    assert caplog.messages[-1] == message
    assert "secret" not in caplog.text
    assert ("on fire" in caplog.text) == (fail is break_down)
