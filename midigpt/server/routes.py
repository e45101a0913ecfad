"""The routes that BentoML has no form for: GET requests, paths with parameters, pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bentoml
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from midigpt.server.errors import ApiError, answer_error
from midigpt.server.openapi import document
from midigpt.server.schemas import Cancelling, Health

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.requests import Request

    from midigpt.server.backend import Backend

# the files come with BentoML, so the page works without network and asks nobody else for anything
_PAGE = """<!doctype html>
<html lang="en">
<title>MIDI-GPT</title>
<meta charset="utf-8">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="static_content/swagger-ui.css">
<div id="docs"></div>
<script src="static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", validatorUrl: null})</script>
</html>
"""


def _backend() -> Backend:
    backend: Backend = bentoml.get_current_service().backend
    return backend


def _json(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), media_type="application/json")


async def _health(request: Request) -> Response:
    state = _backend().health()
    response = _json(state if request.query_params.get("verbose") == "1" else Health())
    response.headers["X-Inflight"] = str(state.inflight)
    response.headers["X-Max-Queue"] = str(state.max_queue)
    return response


async def _info(request: Request) -> Response:
    return _json(_backend().info(request.query_params.get("model")))


async def _models(_request: Request) -> Response:
    return _json(_backend().models())


async def _cancel(request: Request) -> Response:
    id_ = request.path_params["request_id"]
    if not _backend().jobs.cancel(id_, "client"):
        raise ApiError(404, "not_found", "no request of this id is waiting or running")
    return _json(Cancelling(request_id=id_))


async def _docs(_request: Request) -> Response:
    return HTMLResponse(_PAGE)


async def _openapi(_request: Request) -> Response:
    return JSONResponse(document())


routes = Starlette(
    routes=[
        Route("/", _docs),
        Route("/docs", _docs),
        Route("/openapi.json", _openapi),
        Route("/health", _health),
        Route("/info", _info),
        Route("/models", _models),
        Route("/generate/{request_id}/cancel", _cancel, methods=["POST"]),
    ],
    exception_handlers={ApiError: answer_error},
)
