import logging

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from midigpt.server.errors import malformed
from midigpt.server.shape import ErrorShape


def client(answer):
    async def endpoint(_request):
        return answer()

    # the middleware is outermost here: Starlette's own answer to exceptions would come first
    app = Starlette(routes=[Route("/x", endpoint)])
    app.router.redirect_slashes = False
    return TestClient(ErrorShape(app.router), raise_server_exceptions=False)


def refuse(status, **headers):
    def answer():
        raise HTTPException(status, headers=headers)

    return answer


def test_answers_pass_untouched():
    answer = client(lambda: StreamingResponse(iter(["a", "b"]), 201, {"x-y": "z"})).get("/x")
    assert (answer.status_code, answer.text, answer.headers["x-y"]) == (201, "ab", "z")


def test_our_errors_pass_untouched():
    answer = client(lambda: malformed("it is bad", "score").response()).get("/x")
    assert answer.json() == {"detail": "it is bad", "code": "malformed", "path": "score"}


@pytest.mark.parametrize(
    ("foreign", "code"),
    [
        (lambda: PlainTextResponse("Not Found", 404), "not_found"),
        (lambda: JSONResponse([{"error": "bad"}], 400), "malformed"),
        (lambda: JSONResponse({"error": "1 validation error", "detail": [{}]}, 400), "malformed"),
        (lambda: StreamingResponse(iter(["a", "b"]), 415), "unsupported_media_type"),
        (lambda: JSONResponse({"error": "unexpected"}, 500), "internal"),
        (lambda: PlainTextResponse("", 503, {"retry-after": "7"}), "unavailable"),
        (lambda: PlainTextResponse("", 418), "error"),
    ],
)
def test_foreign_errors_take_our_form(foreign, code):
    answer = client(foreign).get("/x")
    assert answer.status_code == foreign().status_code
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["code"] == code
    assert answer.headers.get("retry-after") == foreign().headers.get("retry-after")


def test_paths_that_do_not_exist_and_methods_that_do_not_fit():
    web = client(lambda: PlainTextResponse(""))
    assert web.get("/" + "y" * 100).json()["detail"] == f"there is nothing at /{'y' * 79}..."
    answer = web.post("/x")
    assert answer.json() == {"detail": "/x does not take POST", "code": "method_not_allowed"}
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_an_unexpected_exception_is_logged_and_answered(caplog):
    def fail():
        raise ZeroDivisionError("secret")

    with caplog.at_level(logging.ERROR, "midigpt"):
        answer = client(fail).get("/x")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_an_exception_after_the_first_byte_can_only_break_the_connection():
    def broken():
        yield "a"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        TestClient(client(lambda: StreamingResponse(broken())).app).get("/x")
