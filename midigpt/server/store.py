"""Checkpoints in the model store of BentoML.

Everything here takes the second that importing BentoML takes.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from midigpt.server.preflight import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKED = "packed"
"""Alias under which a Bento knows the model that it was built with."""

_SUFFIXES = {".safetensors", ".pt"}
_DIRECTORY = ("config.json", "model.pt")
_OURS = {"format": "midigpt"}


class Card(BaseModel):
    """What is known of a stored checkpoint.

    Attributes:
        family: kind of encoder: ``yellow``, ``prism`` or ``expressive``.
        layers: of the network.
        width: of the network, in numbers per token.
        heads: of each layer.
        context: most tokens at a time.
        vocabulary: number of different tokens.
        parameters: of the network.
        source: where the checkpoint came from.
        revision: which state of the source it was: a commit of the hub, or the digest of the file.
        licence: a note on what may be done with the weights.
    """

    model_config = ConfigDict(frozen=True)

    family: str
    layers: int
    width: int
    heads: int
    context: int
    vocabulary: int
    parameters: int
    source: str
    revision: str
    licence: str


class StoreError(Exception):
    """A checkpoint cannot be stored; the message is one line that says why."""


def find(tag: str) -> tuple[str, Path]:
    """The full tag and the checkpoint of a model in the store.

    Raises:
        StartError: there is no such model, or it is no checkpoint.
    """
    import bentoml  # noqa: PLC0415 - see above
    from bentoml.exceptions import BentoMLException  # noqa: PLC0415 - see above

    try:
        model = bentoml.models.get(tag)
    except (BentoMLException, ValueError):  # there is none of that name, or it is no name
        raise StartError(f"--bento-model {tag}: is not in the Bento model store") from None
    folder = Path(model.path)
    if (folder / "config.json").is_file():
        return str(model.tag), folder
    files = [path for path in sorted(folder.iterdir()) if path.suffix in _SUFFIXES]
    if len(files) != 1:
        raise StartError(f"--bento-model {tag}: must hold one .safetensors or .pt file")
    return str(model.tag), files[0]


def packed() -> str:
    """The tag of the model in the Bento that is being served; "" if there is none."""
    from bentoml._internal.configuration.containers import (  # noqa: PLC0415 - see above
        BentoMLContainer,
    )

    aliases: dict[str, str] = BentoMLContainer.model_aliases.get()
    return aliases.get(PACKED, "")


def files_of(checkpoint: Path) -> list[Path]:
    """The files that a checkpoint, which may be a directory, consists of."""
    return [checkpoint / name for name in _DIRECTORY] if checkpoint.is_dir() else [checkpoint]


def add(tag: str, checkpoint: Path, card: Card) -> None:
    """Copy a checkpoint into the store.

    Args:
        tag: name and version, ``NAME:VERSION``.
        checkpoint: file or directory.
        card: stored with it.

    Raises:
        StoreError: the tag is taken, or is none.
    """
    import bentoml  # noqa: PLC0415 - see above
    from bentoml.exceptions import BentoMLException  # noqa: PLC0415 - see above

    try:
        with bentoml.models.create(tag, labels=_OURS, metadata=card.model_dump()) as model:
            for file in files_of(checkpoint):
                shutil.copyfile(file, model.path_of(file.name))
    except (BentoMLException, ValueError) as error:
        raise StoreError(" ".join(str(error).split())) from None


def contents() -> Iterator[tuple[str, Card]]:
    """The tags and cards of the checkpoints in the store that were put there with a card."""
    import bentoml  # noqa: PLC0415 - see above

    for model in bentoml.models.list():
        if _OURS.items() <= model.info.labels.items():
            yield str(model.tag), Card.model_validate(model.info.metadata)
