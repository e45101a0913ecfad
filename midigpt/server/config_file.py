"""The YAML file of ``--config``, as it is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from midigpt.server.names import NAME_RULE, is_name
from midigpt.server.preflight import StartError
from midigpt.server.settings import BodyLimit, Count, Device, LogLevel, Precision, Seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

_ACCEPTED = {
    "host": "a host name or an address",
    "port": "an integer from 0 to 65535",
    "idle_timeout": "a number of seconds, at least 0",
    "log_level": "DEBUG, INFO, WARNING or ERROR",
    "max_queue": "an integer, at least 1",
    "max_generation_seconds": "a number of seconds, at least 0",
    "max_body_bytes": "an integer, at least 1024",
    "max_parallel": "an integer, at least 1",
    "device": "cpu, cuda, cuda:N, mps or auto",
    "precision": "auto, fp32, fp16, bf16 or int8",
    "models": "a list of at least one model",
    "id": f"a string: {NAME_RULE}",
}
_OF_PRETRAINED = {"hf_filename", "hf_repo", "hf_token"}


def _checked_id(value: str) -> str:
    if not is_name(value):
        raise ValueError(NAME_RULE)
    return value


class _Mapping(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        """YAML takes anything as a key; a key without a value is as good as none."""
        if not isinstance(value, dict):
            return value
        return {str(key): item for key, item in value.items() if item is not None}


class Entry(_Mapping):
    """One model of the file; None stands for what the file leaves out."""

    id: Annotated[str, AfterValidator(_checked_id)]
    ckpt: str | None = None
    pretrained: str | None = None
    hf_filename: str | None = None
    hf_repo: str | None = None
    hf_token: str | None = Field(None, repr=False)
    device: Device | None = None
    precision: Precision | None = None
    max_parallel: Count | None = None


class ConfigFile(_Mapping):
    """The whole file; None stands for what it leaves out."""

    host: Annotated[str, Field(min_length=1)] | None = None
    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    idle_timeout: Seconds | None = None
    log_level: LogLevel | None = None
    max_queue: Count | None = None
    max_generation_seconds: Seconds | None = None
    max_body_bytes: BodyLimit | None = None
    hf_repo: str | None = None
    hf_token: str | None = Field(None, repr=False)
    device: Device | None = None
    precision: Precision | None = None
    max_parallel: Count | None = None
    default_model: str | None = None
    models: Annotated[list[Entry], Field(min_length=1)]

    def ignored(self) -> Iterator[str]:
        """The keys that mean nothing."""
        yield from self.model_extra or {}
        for index, entry in enumerate(self.models):
            idle = _OF_PRETRAINED & entry.model_fields_set if entry.ckpt else set()
            yield from (f"models[{index}].{key}" for key in [*(entry.model_extra or {}), *idle])


def read(path: str) -> ConfigFile:
    """Read a file and check each key by itself.

    Raises:
        StartError: it cannot be read, is not such a file, or a key has a wrong value.
    """
    try:
        content = yaml.safe_load(Path(path).read_bytes())
    except OSError as error:
        raise StartError(f"--config {path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise StartError(f"{path}: is not YAML{_place(error)}") from None
    if not isinstance(content, dict):
        raise StartError(f"{path}: must be a mapping with the key models")
    try:
        return ConfigFile.model_validate(content)
    except ValidationError as error:
        raise StartError(f"{path}: {_complaint(error.errors()[0])}") from None


def _place(error: yaml.YAMLError | ValueError) -> str:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return f" from line {mark.line + 1}, column {mark.column + 1} on" if mark else ""


def _complaint(error: ErrorDetails) -> str:
    """The key and what it takes; the value stays untold, for it may be a token."""
    key = ""
    for part in error["loc"]:
        key += f"[{part}]" if isinstance(part, int) else f".{part}"
    key = key.removeprefix(".")
    if error["type"] == "missing":
        return f"{key} is missing"
    last: Any = error["loc"][-1]
    accepted = "a mapping" if isinstance(last, int) else _ACCEPTED.get(last, "a string")
    return f"{key} must be {accepted}"
