"""What the server is told when it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

BUILT_IN = Path(__file__).parents[2] / "models" / "starter" / "untrained.safetensors"
DEFAULT_PORT = 8000
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class Settings(BaseModel):
    """The settings a worker needs; ``bentoml serve --arg NAME=VALUE`` gives them one by one.

    Attributes:
        ckpt: checkpoint file or directory; "" for none.
        pretrained: short name or repository of a published checkpoint; "" for none. With neither,
            the built-in model is served.
        hf_filename: file in the repository, or "" to look it up.
        hf_repo: repository of short names; "" for the default one.
        device: ``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``auto``.
        log_level: least serious messages that are logged.
        max_queue: most requests waiting and running.
        max_body_bytes: longest body that is read.
        address: where the server listens, as told when it is ready; "" if not known.
    """

    model_config = ConfigDict(extra="forbid")

    ckpt: str = ""
    pretrained: str = ""
    hf_filename: str = ""
    hf_repo: str = ""
    device: str = "auto"
    log_level: LogLevel = "INFO"
    max_queue: int = Field(64, ge=1)
    max_body_bytes: int = Field(32 * 2**20, ge=1024)
    address: str = ""

    @property
    def path(self) -> Path:
        """The checkpoint to load where none is named by ``pretrained``."""
        return Path(self.ckpt) if self.ckpt else BUILT_IN
