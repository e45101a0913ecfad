"""The OpenAPI document of the service."""

from midigpt.server.openapi.document import document

__all__ = ["document"]
