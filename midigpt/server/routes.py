"""The routes that BentoML has no form for: GET requests, paths with parameters, pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bentoml
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from midigpt.server import docs
from midigpt.server.errors import ApiError, answer_error
from midigpt.server.schemas import Health

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.requests import Request

    from midigpt.server.backend import Backend


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
    return _json(_backend().cancel(request.path_params["request_id"]))


def _metrics(_request: Request) -> Response:
    return _backend().books.metrics.page()


routes = Starlette(
    routes=[
        *docs.routes,
        Route("/health", _health),
        Route("/info", _info),
        Route("/models", _models),
        Route("/metrics", _metrics),
        Route("/generate/{request_id}/cancel", _cancel, methods=["POST"]),
    ],
    exception_handlers={ApiError: answer_error},
)
