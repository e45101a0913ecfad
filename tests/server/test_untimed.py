import asyncio

import bentoml
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from midigpt.server.untimed import Untimed


@bentoml.service(name="slow", metrics={"enabled": False}, traffic={"timeout": 0.05})
class Slow:
    @bentoml.api
    async def write(self) -> str:
        await asyncio.sleep(0.3)
        return "music"


@pytest.mark.parametrize(("untimed", "status"), [(False, 504), (True, 200)])
def test_answers_may_take_longer_than_bentoml_allows(untimed, status):
    Slow.middlewares[:] = [(Untimed, {})] if untimed else []
    with TestClient(Slow.to_asgi()) as client:
        assert client.post("/write", json={}).status_code == status


def test_an_application_without_a_limit_is_left_alone():
    async def welcome(_request):
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/", welcome)], middleware=[Middleware(Untimed)])
    with TestClient(app) as client:
        assert client.get("/").text == "ok"
