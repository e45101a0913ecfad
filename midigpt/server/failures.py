"""Keeping requests whose generation failed, for whoever looks into it; only where asked to."""

from __future__ import annotations

import json
import logging
import os
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel
    from typing_extensions import Self

logger = logging.getLogger("midigpt")

FILE_VARIABLE = "MIDIGPT_FAILED_REQUESTS_LOG"
LARGEST = 100_000_000
"""Most bytes in the file."""


class FailedRequests:
    """A file with one line of JSON for each request whose generation failed.

    Args:
        path: the file, which is made when it is needed; None to keep nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls) -> Self:
        """With the file that the environment names, if it does."""
        named = os.environ.get(FILE_VARIABLE)
        return cls(Path(named) if named else None)

    def record(self, body: BaseModel, detail: str) -> None:
        """Keep a request; to be called off the event loop, as it writes to a disk.

        If that is not possible a line in the log says so, and nothing else happens.

        Args:
            body: the whole request.
            detail: why it failed.
        """
        if self._path is None:
            return
        entry = {
            "time": datetime.now(timezone.utc).isoformat(),
            "detail": detail,
            "body": body.model_dump(mode="json"),
        }
        line = json.dumps(entry).encode() + b"\n"
        try:
            with self._lock:
                _append(self._path, line)
        except OSError as error:
            logger.error("%s: %s; a failed request is not kept", FILE_VARIABLE, error)  # noqa: TRY400 - all there is to say


def _append(path: Path, line: bytes) -> None:
    """Add a line if the file may hold it. Others than the owner may not read the music in it."""
    with open(path, "ab", opener=_for_owner) as file:
        if file.tell() + len(line) > LARGEST:
            raise OSError(f"{path} may not grow above {LARGEST} bytes")
        file.write(line)


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
