"""What the server is told when it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

BUILT_IN = Path(__file__).parents[2] / "models" / "starter" / "starter.safetensors"
"""The model that comes with the package."""

DEFAULT_PORT = 8000
DEVICE_PATTERN = r"^(auto|cpu|mps|cuda(:[0-9]{1,3})?)$"


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Precision = Literal["auto", "fp32", "fp16", "bf16", "int8"]
Device = Annotated[str, Field(pattern=DEVICE_PATTERN)]
BodyLimit = Annotated[int, Field(ge=1024)]


class Settings(BaseModel):
    """The settings a worker needs; ``bentoml serve --arg NAME=VALUE`` gives them one by one.

    Attributes:
        config: YAML file with the models and more; "" for none.
        ckpt: checkpoint file or directory; "" for none.
        pretrained: short name or repository of a published checkpoint; "" for none.
        bento_model: tag in the Bento model store; "" for none. With none of the four, the built-in
            model is served.
        hf_filename: file in the repository, or "" to look it up.
        hf_repo: repository of short names; "" for the default one.
        device: ``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``auto``.
        precision: how the network's weights are held: one of
            :data:`midigpt.model.Precision`, or ``auto``.
        log_level: least serious messages that are logged.
        max_parallel: most generations of one model at the same time.
        max_queue: most requests waiting and running.
        max_generation_seconds: longest generation; 0 for any length.
        idle_timeout: seconds without work after which the server ends; 0 for never.
        max_body_bytes: longest body that is read, in bytes.
        cors_origins: origins whose pages may use the server, with commas between them.
        address: where the server listens, as told when it is ready; "" if not known.
    """

    model_config = ConfigDict(extra="forbid")

    config: str = ""
    ckpt: str = ""
    pretrained: str = ""
    bento_model: str = ""
    hf_filename: str = ""
    hf_repo: str = ""
    device: Device = "auto"
    precision: Precision = "auto"
    log_level: LogLevel = "INFO"
    max_parallel: Count = 1
    max_queue: Count = 64
    max_generation_seconds: Seconds = 0
    idle_timeout: Seconds = 0
    max_body_bytes: BodyLimit = 32 * 2**20
    cors_origins: str = ""
    address: str = ""
