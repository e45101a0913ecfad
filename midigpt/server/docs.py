"""The documentation: a page for people, and the document that it shows."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from functools import cache
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from midigpt.server.openapi import document

if TYPE_CHECKING:
    from starlette.requests import Request

_SCRIPT = """
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  validatorUrl: null,
})
"""
# the files come with BentoML, so the page works without network and asks nobody else for anything
_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>MIDI-GPT</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="static_content/swagger-ui.css">
<style>.opblock-head {{ display: none }}</style>
</head>
<body>
<div id="docs"></div>
<script src="static_content/swagger-ui-bundle.js"></script>
<script>{_SCRIPT}</script>
</body>
</html>
"""
_SCRIPT_HASH = b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
# whatever the page might be made to do, it cannot load or call anything but this server
_POLICY = (
    f"default-src 'none'; script-src 'self' 'sha256-{_SCRIPT_HASH}'; connect-src 'self';"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)


@cache
def _document() -> bytes:
    return json.dumps(document(), ensure_ascii=False, separators=(",", ":")).encode()


async def _docs(_request: Request) -> Response:
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})


async def _openapi(_request: Request) -> Response:
    return Response(_document(), media_type="application/json")


routes = [
    Route("/", _docs),
    Route("/docs", _docs),
    Route("/openapi.json", _openapi),
    Route("/docs.json", _openapi),  # where BentoML has a document of its own
]
"""The addresses of the documentation."""
