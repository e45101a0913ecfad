"""Published checkpoints: found by name on the Hugging Face Hub, kept in its shared cache."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError: see _FAILURES
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
)
from huggingface_hub.file_download import repo_folder_name

from midigpt.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

DEFAULT_REPO = "Metacreation/MIDI-GPT"
"""Where the published checkpoints are."""

_SUFFIXES = (".safetensors", ".pt")
_PLAIN_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
_LOGIN = "log in with 'hf auth login' or set HF_TOKEN"
_FAILURES = (HTTPError, OSError)
"""What a request or a download can end in: the errors of the HTTP library, which differs between
releases of huggingface_hub (so its own import of their base is used), of the hub, and of the disk.
"""

_logger = logging.getLogger(__name__)


def resolve(
    name: str, *, repo: str = DEFAULT_REPO, filename: str | None = None, token: str | None = None
) -> Path:
    """The local file of a published checkpoint, downloaded if need be.

    Args:
        name: such as ``"yellow"`` or ``"yellow_medium"``: the first of ``NAME`` itself if it is a
            file name, ``NAME.safetensors``, ``NAME.pt``, ``NAME-final.safetensors`` and the
            ``NAME-step<N>.safetensors`` with the highest N, then the same of ``NAME_medium``. Or
            a repository id (it contains ``/``), which needs ``filename`` and replaces ``repo``.
        repo: repository to look in.
        filename: takes this file of the repository.
        token: access token; None leaves the choice to huggingface_hub (``HF_TOKEN``, then the
            stored login).

    Returns:
        A file in the hub's cache: the cached copy where the hub cannot be reached or refuses
        access, the current file otherwise.

    Raises:
        CheckpointError: a name makes no sense, there is no such checkpoint, or it can neither be
            downloaded nor found in the cache.
    """
    if "/" in name:
        if filename is None:
            raise CheckpointError(f"{name} is a repository id: name the file in it as well")
        repo = name
    wanted = _Wanted.of(repo, filename or name, exact=filename is not None)
    try:
        return _download(wanted, token)
    except HFValidationError as error:
        raise CheckpointError(f"{repo!r} is no repository id (owner/name)") from error
    except _FAILURES as error:
        if _is_absent(error):
            raise CheckpointError(f"{wanted}: there is no such repository or file") from error
        cached = _find_cached(wanted)
        if cached is None:
            raise CheckpointError(f"{wanted}: {_explain(error, repo)}") from error
        reason = type(error).__name__
        _logger.warning("Could not download %s (%s); using the cached %s", wanted, reason, cached)
        return cached


@dataclass(frozen=True)
class _Wanted:
    """What is asked for: the file ``name`` of ``repo`` if ``exact``, else the best match."""

    repo: str
    name: str
    exact: bool

    @classmethod
    def of(cls, repo: str, name: str, *, exact: bool) -> _Wanted:
        """Refuses names that no checkpoint has, such as those that lead out of the repository."""
        parts = name.split("/") if exact else [name]
        if not all(_PLAIN_NAME.fullmatch(part) for part in parts):
            raise CheckpointError(f"{name!r} is no checkpoint name (letters, digits, - _ .)")
        if exact and not name.endswith(_SUFFIXES):
            raise CheckpointError(f"{name!r} is no checkpoint file ({' or '.join(_SUFFIXES)})")
        return cls(repo, name, exact)

    def __str__(self) -> str:
        return f"{self.repo}/{self.name}"

    def choose(self, files: Collection[str]) -> str | None:
        """The one of ``files`` that is meant."""
        if self.exact or self.name.endswith(_SUFFIXES):
            return self.name if self.name in files else None
        stems = (self.name, f"{self.name}_medium")
        return next((file for stem in stems for file in _versions(stem, files)), None)


def _versions(stem: str, files: Collection[str]) -> Iterator[str]:
    """The checkpoints among ``files`` that are called ``stem``, the preferred first."""
    for end in (*_SUFFIXES, "-final.safetensors"):
        if stem + end in files:
            yield stem + end
    step = re.compile(rf"{re.escape(stem)}-step([0-9]+)\.safetensors")
    steps = {int(match[1]): match[0] for match in map(step.fullmatch, files) if match}
    if steps:
        yield steps[max(steps)]


def _download(wanted: _Wanted, token: str | None) -> Path:
    """Ask the hub what there is, once and briefly, before anything that would try again."""
    try:
        timeout = constants.HF_HUB_ETAG_TIMEOUT
        info = HfApi().model_info(wanted.repo, timeout=timeout, token=token)
    except json.JSONDecodeError as error:
        raise ConnectionError(f"{constants.ENDPOINT} does not answer like the hub") from error
    file = wanted.choose({sibling.rfilename for sibling in info.siblings or ()})
    if file is None:
        raise CheckpointError(f"{wanted}: the repository has no checkpoint of that name")
    return Path(hf_hub_download(wanted.repo, file, token=token))


def _find_cached(wanted: _Wanted) -> Path | None:
    """A copy from an earlier download: that of ``main`` as last seen, else the newest."""
    folder = repo_folder_name(repo_id=wanted.repo, repo_type="model")
    storage = Path(constants.HF_HUB_CACHE) / folder
    main = storage / "refs" / "main"
    current = main.read_text().strip() if main.is_file() else ""
    snapshots = list(storage.glob("snapshots/*"))
    snapshots.sort(key=lambda path: (path.name == current, path.stat().st_mtime), reverse=True)
    for snapshot in snapshots:
        files = [path for path in snapshot.rglob("*") if path.is_file()]
        file = wanted.choose({path.relative_to(snapshot).as_posix() for path in files})
        if file is not None:
            return snapshot / file
    return None


def _is_absent(error: Exception) -> bool:
    """Whether the hub itself says that it does not have it, or no longer."""
    gone = isinstance(error, HfHubHTTPError) and error.response.status_code == 404
    return gone or isinstance(error, DisabledRepoError)


def _explain(error: Exception, repo: str) -> str:
    page = f"{constants.ENDPOINT}/{repo}"
    if isinstance(error, GatedRepoError):
        return f"the repository is gated: accept its licence at {page}, then {_LOGIN}"
    if isinstance(error, HfHubHTTPError) and error.response.status_code in {401, 403}:
        return f"access refused: {page} is private or gated, or does not exist; {_LOGIN}"
    if isinstance(error, OSError) and error.strerror:
        return f"the cache cannot be used: {error.strerror}"
    name = type(error).__name__
    return f"not in the cache, and the hub at {constants.ENDPOINT} cannot be reached ({name})"
