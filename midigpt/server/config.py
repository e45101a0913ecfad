"""What is served: the models and the limits, from the flags or from a configuration file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from midigpt.server import config_file, store
from midigpt.server.names import as_name
from midigpt.server.preflight import StartError
from midigpt.server.settings import BUILT_IN, LogLevel, Precision, Settings

if TYPE_CHECKING:
    from midigpt.server.config_file import ConfigFile, Entry

DEFAULT_REPO = "Metacreation/MIDI-GPT"
"""Repository of short names; as in ``midigpt.model.hub``, which would import torch."""

_OVERRIDING = {
    "idle_timeout",
    "log_level",
    "max_queue",
    "max_generation_seconds",
    "max_body_bytes",
    "device",
    "precision",
    "max_parallel",
    "hf_repo",
}
_OF_ENTRY = {"ckpt", "pretrained", "hf_filename", "hf_repo", "device", "precision", "max_parallel"}


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A model to serve.

    Attributes:
        id: its name in requests.
        label: where it comes from, as told to clients.
        ckpt: checkpoint file or directory; "" for none.
        pretrained: short name or repository of a published checkpoint; "" for none. With neither
            it is the built-in model.
        hf_filename: file in the repository; "" to look it up.
        hf_repo: repository of short names; "" for the default one.
        hf_token: access token; None leaves the choice to huggingface_hub.
        device: where to load it.
        precision: how its weights are held; ``auto`` for the device's default.
        max_parallel: most generations at the same time.
        origin: what named it, as complaints begin.
    """

    id: str
    label: str
    ckpt: str = ""
    pretrained: str = ""
    hf_filename: str = ""
    hf_repo: str = ""
    hf_token: str | None = field(default=None, repr=False)
    device: str = "auto"
    precision: Precision = "auto"
    max_parallel: int = 1
    origin: str = "--ckpt"

    @property
    def path(self) -> Path:
        """The checkpoint to load where none is named by ``pretrained``."""
        return Path(self.ckpt) if self.ckpt else BUILT_IN


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Everything that is served, and how.

    Attributes:
        models: in the order of the file; at least one.
        default_model: id of the one that requests mean if they name none.
        host: address to bind; None if the file has none.
        port: port to bind; None if the file has none.
        idle_timeout: seconds without work after which the server ends; 0 for never.
        log_level: least serious messages that are logged.
        max_queue: most requests waiting and running, over all models.
        max_generation_seconds: longest generation; 0 for any length.
        max_body_bytes: longest body that is read, in bytes.
        warnings: what in the file means nothing.
    """

    models: tuple[ModelEntry, ...]
    default_model: str
    host: str | None = None
    port: int | None = None
    idle_timeout: float = 0
    log_level: LogLevel = "INFO"
    max_queue: int = 64
    max_generation_seconds: float = 0
    max_body_bytes: int = 32 * 2**20
    warnings: tuple[str, ...] = ()


def deployment(settings: Settings) -> Deployment:
    """What the settings ask for.

    Raises:
        StartError: they contradict each other, or the configuration file is not one.
    """
    sources = (settings.config, settings.ckpt, settings.pretrained, settings.bento_model)
    if sum(map(bool, sources)) > 1:
        raise StartError("give at most one of config, ckpt, pretrained and bento_model")
    if settings.config:
        return _of_file(settings, config_file.read(settings.config))
    if settings.bento_model:
        return _deployment(settings, (_stored(settings),))
    if "/" in settings.pretrained and not settings.hf_filename:
        raise StartError(f"{settings.pretrained} is a repository: give hf_filename as well")
    return _deployment(settings, (_model(settings, _id(settings)),))


def _deployment(
    settings: Settings, models: tuple[ModelEntry, ...], default_model: str | None = None
) -> Deployment:
    return Deployment(
        models=models,
        default_model=default_model or models[0].id,
        idle_timeout=settings.idle_timeout,
        log_level=settings.log_level,
        max_queue=settings.max_queue,
        max_generation_seconds=settings.max_generation_seconds,
        max_body_bytes=settings.max_body_bytes,
    )


def _model(settings: Settings, id_: str) -> ModelEntry:
    """The one model that the settings name."""
    return ModelEntry(
        id=id_,
        label=_label(settings),
        ckpt=settings.ckpt,
        pretrained=settings.pretrained,
        hf_filename=settings.hf_filename,
        hf_repo=settings.hf_repo,
        device=settings.device,
        precision=settings.precision,
        max_parallel=settings.max_parallel,
    )


def _stored(settings: Settings) -> ModelEntry:
    tag, path = store.find(settings.bento_model)
    model = _model(settings, as_name(tag.partition(":")[0]))
    return replace(model, label=tag, ckpt=str(path), origin="--bento-model")


def _id(settings: Settings) -> str:
    if settings.pretrained:
        repository = "/" in settings.pretrained
        return as_name(PurePath(settings.hf_filename).stem if repository else settings.pretrained)
    path = Path(settings.ckpt).resolve() if settings.ckpt else BUILT_IN
    return as_name(path.name if path.is_dir() else path.stem)


def _label(settings: Settings) -> str:
    name = settings.pretrained
    if not name:
        return settings.ckpt or BUILT_IN.stem
    if "/" in name:
        return f"{name}/{settings.hf_filename}"
    return name if settings.hf_repo in {"", DEFAULT_REPO} else f"{settings.hf_repo}/{name}"


def _of_file(settings: Settings, file: ConfigFile) -> Deployment:
    """What the file says; where it says nothing, the settings."""
    path = settings.config
    overriding = file.model_dump(include=_OVERRIDING, exclude_none=True)
    settings = settings.model_copy(update=overriding)
    models: dict[str, ModelEntry] = {}
    for index, entry in enumerate(file.models):
        if entry.id in models:
            raise StartError(f"{path}: models[{index}].id {entry.id} is taken by another model")
        _check_source(entry, f"{path}: models[{index}]")
        model = _model(_of_entry(settings, entry), entry.id)
        token = entry.hf_token or file.hf_token
        origin = f"{path}: models[{index}].ckpt"
        models[entry.id] = replace(model, hf_token=token, origin=origin)
    default = file.default_model
    if default is not None and default not in models:
        raise StartError(f"{path}: default_model must be one of {', '.join(models)}")
    ignored = tuple(f"{path}: {key} means nothing and was ignored" for key in file.ignored())
    whole = _deployment(settings, tuple(models.values()), default)
    return replace(whole, host=file.host, port=file.port, warnings=ignored)


def _of_entry(settings: Settings, entry: Entry) -> Settings:
    """The settings that would serve this model alone."""
    return settings.model_copy(update=entry.model_dump(include=_OF_ENTRY, exclude_none=True))


def _check_source(entry: Entry, place: str) -> None:
    if bool(entry.ckpt) == bool(entry.pretrained):
        raise StartError(f"{place} must have exactly one of ckpt and pretrained")
    if "/" in (entry.pretrained or "") and not entry.hf_filename:
        raise StartError(f"{place}.hf_filename is missing: pretrained names a repository")
