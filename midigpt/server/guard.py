"""Who may use the server: holders of its key, and web pages of sites that it trusts.

A server on somebody's own machine is in reach of every web page that is open there. Without a key
it therefore refuses requests that browsers send for foreign pages. Programs send no ``Origin`` and
notice nothing of this.

That covers DNS rebinding too, where a stranger's name is made to point here, so that a page of his
comes from the same place as the server, as far as the browser can tell. A page counts as the
server's own only if its host is an address or a name that no stranger can register; that of a
public domain must be allowed by name. Browsers do not tell the origin of pages that only read
(``GET``) what seems to be their own server: a rebound page can read ``/info`` and the like, which
hold no secrets, but cannot generate or cancel.
"""

from __future__ import annotations

import hmac
import os
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware

from midigpt.server.errors import ApiError
from midigpt.server.preflight import StartError

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Receive, Scope, Send

KEY_VARIABLE = "MIDIGPT_API_KEY"

_OPEN = {"/", "/docs", "/openapi.json", "/health", "/livez", "/readyz", "/healthz"}
_OPEN_FOLDER = "/static_content/"
_EXPOSED = ("X-Request-Id", "Retry-After", "X-Inflight", "X-Max-Queue")
_PORTS = {"http": 80, "https": 443}
# none of these can be had by registering a domain
_PRIVATE = (".localhost", ".local", ".lan", ".internal", ".home.arpa")
_LONGEST_SHOWN = 100


class Guard:
    """Middleware that lets requests in, or not.

    Args:
        app: what comes next.
        token: key that requests must bring as ``Authorization: Bearer KEY``, except for probes and
            the documentation; "" for none.
        origins: sites whose pages may use the server, as :func:`allowed_origins` makes them.
            Browsers get the CORS headers they need to let those read the answers.
    """

    def __init__(self, app: ASGIApp, token: str = "", origins: Collection[str] = ()) -> None:
        self.app = app
        self._token = token.encode()
        self._origins = frozenset(origins)
        self._shared: ASGIApp = self._authorized
        if origins:
            self._shared = CORSMiddleware(
                self._authorized,
                allow_origins=self._origins,
                allow_methods=("GET", "HEAD", "POST"),
                allow_headers=("Authorization",),
                allow_private_network=True,
                expose_headers=_EXPOSED,
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        origin = Headers(scope=scope).get("origin")
        if origin is None or self._token or self._trusts(origin, scope):
            await self._shared(scope, receive, send)
        else:
            await _foreign(origin).response()(scope, receive, send)

    async def _authorized(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request whose sender may be asked for the key."""
        if self._token and not _is_open(scope) and not self._has_key(scope):
            detail = "send the key of this server: Authorization: Bearer KEY"
            challenge = {"WWW-Authenticate": "Bearer"}
            refusal = ApiError(401, "unauthorized", detail, headers=challenge)
            await refusal.response()(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _has_key(self, scope: Scope) -> bool:
        given = Headers(scope=scope).get("authorization", "")
        scheme, _, key = given.partition(" ")
        # headers are decoded as Latin-1, whatever the bytes were
        same = hmac.compare_digest(key.strip().encode("latin-1"), self._token)
        return scheme.lower() == "bearer" and same

    def _trusts(self, origin: str, scope: Scope) -> bool:
        return "*" in self._origins or origin in self._origins or _is_own(origin, scope)


def api_key() -> str:
    """The key in the environment; "" if there is none."""
    return os.environ.get(KEY_VARIABLE, "").strip()


def allowed_origins(text: str) -> tuple[str, ...]:
    """The origins in a list with commas.

    Raises:
        StartError: one of them is no origin.
    """
    origins = tuple(part.strip().lower().rstrip("/") for part in text.split(",") if part.strip())
    for origin in origins:
        if origin not in {"*", "null"} and not _is_origin(origin):
            raise StartError(
                f"--cors-origin {origin}: must be like https://example.org or"
                " http://localhost:3000, null or *"
            )
    return origins


def _is_origin(text: str) -> bool:
    """Whether a text is a scheme, a host and maybe a port, and nothing more."""
    place = _place(text)
    host = text.partition("://")[2]
    return place is not None and bool(place[0]) and not set(host) & set("/?#@")


def _is_open(scope: Scope) -> bool:
    path: str = scope["path"]
    return (
        scope["method"] == "OPTIONS"
        or (path.rstrip("/") or "/") in _OPEN
        or path.startswith(_OPEN_FOLDER)
    )


def _is_own(origin: str, scope: Scope) -> bool:
    """Whether a page comes from this server, under a name that no stranger can have made its."""
    host = Headers(scope=scope).get("host", "")
    place = _place(origin)
    return (
        place is not None
        and place == _place(f"{scope['scheme']}://{host}")
        and _is_private(place[1].rstrip("."))
    )


def _place(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None if there is no host."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # a port that is no number, half an IPv6 address
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def _is_private(name: str) -> bool:
    """Whether a name is an address, or one that only the owner of a network gives."""
    try:
        ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(_PRIVATE)
    return True


def _foreign(origin: str) -> ApiError:
    detail = (
        f"web pages of {origin[:_LONGEST_SHOWN]} may not use this server; its flag --cors-origin"
        " names those that may"
    )
    return ApiError(403, "forbidden_origin", detail)
