"""The servers of ``tests/e2e``, for what is recorded about servers."""

from tests.e2e.conftest import asking, checkpoint, client, flags, server, start

__all__ = ["asking", "checkpoint", "client", "flags", "server", "start"]
