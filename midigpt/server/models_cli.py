"""``midigpt-models``: checkpoints in the model store of BentoML, put there and listed."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from midigpt.errors import MidiGPTError
from midigpt.server import store
from midigpt.server.cli import something
from midigpt.server.store import Card, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOREIGN = re.compile(r"[^a-z0-9._-]+")
_PART = r"[a-z0-9](?:[-._a-z0-9]{0,61}[a-z0-9])?"
_TAG = re.compile(f"{_PART}(?::{_PART})?")
_VERSION = 12
_FAMILIES = {"nomml": "expressive", "key_signature": "prism"}


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command says.

    Returns:
        The exit code: 0, or 1 if it could not be done. Wrong usage exits with 2.
    """
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    given = _parse(argv)
    try:
        _import(given) if given.command == "import" else _list()
    except (MidiGPTError, StoreError) as error:
        print(f"midigpt-models: {error}", file=sys.stderr)  # noqa: T201 - that is where it belongs
        return 1
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="midigpt-models", description="Checkpoints in the model store of BentoML."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="show the checkpoints in the store")
    put = commands.add_parser("import", help="copy a checkpoint into the store")
    source = put.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--ckpt", type=something, metavar="PATH", help="local checkpoint file or directory"
    )
    source.add_argument(
        "--pretrained",
        type=something,
        metavar="NAME_OR_REPO",
        help="published checkpoint: short name or repository",
    )
    put.add_argument("--hf-filename", metavar="FILE", help="file in the repository")
    put.add_argument("--hf-repo", metavar="REPO", help="repository of short names")
    put.add_argument(
        "--tag",
        type=_tag,
        help="NAME or NAME:VERSION; the default is made of the source and its revision",
    )
    put.add_argument("--licence", metavar="NOTE", help="what may be done with the weights")
    given = parser.parse_args(argv)
    if given.command == "import":
        if given.ckpt and (given.hf_filename or given.hf_repo):
            put.error("--hf-filename and --hf-repo need --pretrained")
        if given.pretrained and "/" in given.pretrained and not given.hf_filename:
            put.error("--pretrained with a repository needs --hf-filename")
    return given


def _tag(text: str) -> str:
    """An argparse type: a tag as BentoML allows them."""
    if not _TAG.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text} is not NAME or NAME:VERSION, each of 1 to 63 of a-z 0-9 . _ -"
        )
    return text


def _import(given: argparse.Namespace) -> None:
    """Store a checkpoint, once it is known to be one."""
    path, source, licence = _local(given) if given.ckpt else _published(given)
    card = _card(path, source=source, licence=given.licence or licence)
    name, _, version = (given.tag or _name(given)).partition(":")
    tag = f"{name}:{version or _short(card.revision)}"
    if given.tag != tag and tag in dict(store.contents()):
        print(f"{tag} (was there already)")  # noqa: T201 - for this it was called
        return
    store.add(tag, path, card)
    print(tag)  # noqa: T201 - for this it was called


def _local(given: argparse.Namespace) -> tuple[Path, str, str]:
    """The checkpoint, where it comes from, and what is known of its licence."""
    return Path(given.ckpt), given.ckpt, "unknown"


def _published(given: argparse.Namespace) -> tuple[Path, str, str]:
    """The same for a published one, which is downloaded if need be."""
    from midigpt.model import hub  # noqa: PLC0415 - imports torch

    repo = given.hf_repo or hub.DEFAULT_REPO
    path = hub.resolve(given.pretrained, repo=repo, filename=given.hf_filename)
    if "/" in given.pretrained:
        repo = given.pretrained
    return path, f"{repo}/{path.name}", f"see https://huggingface.co/{repo}"


def _name(given: argparse.Namespace) -> str:
    """A name as BentoML allows them, for a checkpoint that was given none."""
    if given.ckpt:
        path = Path(given.ckpt).resolve()
        text = path.name if path.is_dir() else path.stem
    else:
        text = given.pretrained.rpartition("/")[2]
    return _FOREIGN.sub("-", text.lower())[:63].strip("-._") or "model"


def _commit(path: Path) -> str:
    """The commit that a file in the cache of the hub belongs to; "" for another file."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-2] else ""


def _digest(path: Path) -> str:
    """That of a checkpoint's bytes."""
    digest = hashlib.sha256()
    for file in store.files_of(path):
        with file.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _short(revision: str) -> str:
    return revision.removeprefix("sha256:")[:_VERSION]


def _card(path: Path, *, source: str, licence: str) -> Card:
    """What is known of a checkpoint, which is loaded for it.

    Raises:
        MidiGPTError: it is no checkpoint that could be served.
    """
    from midigpt.inference.language import Language  # noqa: PLC0415 - imports torch
    from midigpt.model import check_vocabulary, load_checkpoint  # noqa: PLC0415 - imports torch

    bundle = load_checkpoint(path, "cpu")
    language = Language.of(bundle.encoder_config)
    check_vocabulary(bundle, len(language.tokenizer.vocabulary))
    attributes = language.analyzer.attribute_sizes()
    families = (kind for name, kind in _FAMILIES.items() if name in attributes)
    config = bundle.model.config
    return Card(
        family=next(families, "yellow"),
        layers=config.n_layer,
        width=config.n_embd,
        heads=config.n_head,
        context=config.n_positions,
        vocabulary=config.vocab_size,
        parameters=sum(parameter.numel() for parameter in bundle.model.parameters()),
        source=source,
        revision=_commit(path) or _digest(path),
        licence=licence,
    )


def _list() -> None:
    rows = [("tag", "family", "parameters", "source", "revision", "licence")]
    for tag, card in sorted(store.contents()):
        parameters = f"{card.parameters / 1e6:.1f} M"
        revision = _short(card.revision)
        rows.append((tag, card.family, parameters, card.source, revision, card.licence))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())  # noqa: T201 - for this it was called


if __name__ == "__main__":
    sys.exit(main())
