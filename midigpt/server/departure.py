"""Noticing that a client has left."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive


@asynccontextmanager
async def departure(receive: Receive) -> AsyncIterator[asyncio.Future[None]]:
    """A future that is done as soon as the client has left; nothing else may receive meanwhile."""
    gone = asyncio.ensure_future(_left(receive))
    try:
        yield gone
    finally:
        gone.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
