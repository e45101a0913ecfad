"""Settings that neither a flag nor an argument gives: from the environment, and from the Bento.

The order for each is: flag or argument, environment, default. For the model it is: flag or
argument, environment, the model packed into the Bento, the built-in model. A built Bento, and so a
container, can be told something by the environment only: BentoML 1.4 replaces the arguments of its
command by those of the build.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from midigpt.server.preflight import StartError
from midigpt.server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SOURCES = {"config", "ckpt", "pretrained", "bento_model"}
_OF_SOURCES = _SOURCES | {"hf_filename", "hf_repo"}


def with_environment(settings: Settings, environ: Mapping[str, str], packed: str = "") -> Settings:
    """The settings, completed from elsewhere.

    Args:
        settings: what flags or arguments say. One that has its default value counts as not given.
            Once they name a model nothing else does.
        environ: ``MIDIGPT_MAX_QUEUE`` and the like, one for each setting.
        packed: tag of the model in the Bento that is being served; "" for none.

    Raises:
        StartError: a variable has a value that its setting cannot have.
    """
    found = dict(_found(settings, environ))
    try:
        completed = Settings.model_validate({**settings.model_dump(), **found})
    except ValidationError as error:
        first = error.errors()[0]
        variable = _variable(str(first["loc"][0]))
        raise StartError(f"{variable}={environ[variable]}: {first['msg']}") from None
    if packed and not _names_model(completed):
        return completed.model_copy(update={"bento_model": packed})
    return completed


def _found(settings: Settings, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The names and values of settings that the environment gives."""
    given = settings.model_dump()
    for name, default in Settings().model_dump(exclude={"address"}).items():
        value = environ.get(_variable(name), "")
        decided = name in _OF_SOURCES and _names_model(settings)
        if value and not decided and given[name] == default:
            yield name, value


def _variable(name: str) -> str:
    return f"MIDIGPT_{name.upper()}"


def _names_model(settings: Settings) -> bool:
    return any(settings.model_dump(include=_SOURCES).values())
