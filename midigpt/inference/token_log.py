"""A log of everything that is sampled: what was shown, what could have come, and what came."""

from __future__ import annotations

import json
from collections import Counter
from math import isfinite, log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from midigpt.inference.row import Row, Status
from midigpt.model import sampling

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from os import PathLike

    from midigpt.inference.plan import Step
    from midigpt.inference.rules import Mask
    from midigpt.inference.task import Task
    from midigpt.score import Bar
    from midigpt.tokens import Tokenizer

    Record = dict[str, Any]

_LIKELIEST = 5
_FIRST = 16
"""Onsets and pitches that are told of a bar."""


class TokenLogger:
    """A file of JSON lines that tells of every attempt of the runs of a session.

    Each line has ``rec``, its kind, and ``step``, the number of the attempt, from 0. An attempt's
    lines are written together when it has ended: the prompt bar by bar (``ctx_bar``), a line per
    token (``token``) and per time there was no distribution to draw from (``grammar_collapse``), a
    ``step_summary``, and the bars of the window as they now stand (``bar``).

    Args:
        path: the file; what it held is lost.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = Path(path)
        self._path.write_text("", encoding="utf-8")
        self._attempts = 0

    def write(self, records: Iterable[Record]) -> None:
        """Append the records of one attempt.

        Raises:
            OSError: the file cannot be written.
        """
        with self._path.open("a", encoding="utf-8") as file:
            for record in records:
                named = {"rec": record["rec"], "step": self._attempts} | record
                file.write(json.dumps(named) + "\n")
        self._attempts += 1


class RunLog:
    """Follows a run, whose attempts may be sampled side by side.

    Args:
        logger: gets the records.
        task: what is being done.
        tokenizer: the tokenizer of the checkpoint.
    """

    def __init__(self, logger: TokenLogger, task: Task, tokenizer: Tokenizer) -> None:
        self._logger = logger
        self._task = task
        self._tokenizer = tokenizer
        self._types = tokenizer.vocabulary.types
        self._sampled: dict[Row, list[Record]] = {}

    def token(self, row: Row, legal: Mask, position: int) -> None:
        """After a token.

        Args:
            row: its row.
            legal: what it was drawn from, (V,).
            position: how many tokens the run had sampled before it.
        """
        records = self._sampled.setdefault(row, [])
        allowed = torch.from_numpy(legal)
        count = int(legal.sum())
        if not isfinite(row.logits[allowed].max()):
            records.append(_collapse(position, count))
        probs = sampling.probabilities(row.logits[None], allowed[None], torch.ones(1, 1))[0]
        types = list(dict.fromkeys(self._types[token] for token in legal.nonzero()[0].tolist()))
        likeliest = zip(
            *(found.tolist() for found in probs.topk(min(_LIKELIEST, count))), strict=True
        )
        records.append(
            {
                "rec": "token",
                "pos": position,
                "tid": row.tokens[-1],
                **self._spelled(row.tokens[-1]),
                "H_bits": round(float(torch.special.entr(probs).sum()) / log(2), 6),
                "n_legal": count,
                "n_legal_tt": len(types),
                "legal_tt": types,
                "top5": [self._spelled(token) | {"p": round(p, 6)} for p, token in likeliest],
            }
        )

    def attempt(self, step: Step, row: Row, position: int) -> None:
        """After an attempt at a step, when the run has sampled ``position`` tokens."""
        sampled = self._sampled.pop(row, [])
        if row.status is Status.CRASHED:
            sampled.append(_collapse(position, 0))
        collapses = sum(record["rec"] == "grammar_collapse" for record in sampled)
        self._logger.write(
            [
                *self._prompt(row.prompt.tokens),
                *sampled,
                self._summary(step, row) | {"grammar_collapses": collapses},
                *self._bars(step, row),
            ]
        )

    def _prompt(self, tokens: Iterable[int]) -> Iterator[Record]:
        """The head of the piece, then the head of each track and its bars."""
        track = bar = -1
        passage: list[Record] = []
        for token in tokens:
            spelled = self._spelled(token)
            if spelled["tt"] in {"Track", "Bar"}:
                yield _passage(track, bar, passage)
                passage = []
                track, bar = (track + 1, -1) if spelled["tt"] == "Track" else (track, bar + 1)
            passage.append(spelled)
        yield _passage(track, bar, passage)

    def _summary(self, step: Step, row: Row) -> Record:
        written = {track for track, _ in step.targets}
        parts = self._task.parts
        return {
            "rec": "step_summary",
            "context_len": len(row.prompt.tokens),
            "max_gen_tokens": row.budget,
            "n_gen_tracks": len(written),
            "gen_track_ids": [part.id for t, part in enumerate(parts) if t in written],
            "ctx_track_ids": [part.id for t, part in enumerate(parts) if t not in written],
            "use_velocity": int(self._task.velocity),
            "tokens_generated": len(row.tokens),
            "token_type_counts": Counter(self._types[token] for token in row.tokens),
        }

    def _bars(self, step: Step, row: Row) -> Iterator[Record]:
        """The bars of the window, onsets in ticks of the token grid."""
        told = self._tokenizer.decode([*row.prompt.tokens, *row.tokens], resample=False)
        for part, track in sorted(zip(row.prompt.order, told.tracks, strict=True)):
            for index, bar in enumerate(track.bars, step.window[0]):
                yield {
                    "rec": "bar",
                    "track": self._task.parts[part].id,
                    "bar": index,
                    "generated": (part, index) in step.targets,
                    **_content(bar),
                }

    def _spelled(self, token: int) -> Record:
        type_, value = self._tokenizer.vocabulary.decode(token)
        return {"tt": type_, "tv": value}


def _collapse(position: int, legal: int) -> Record:
    return {"rec": "grammar_collapse", "pos": position, "n_legal": legal}


def _passage(track: int, bar: int, tokens: Sequence[Record]) -> Record:
    return {"rec": "ctx_bar", "track": track, "bar": bar, "tokens": tokens}


def _content(bar: Bar) -> Record:
    """What a bar holds; ``pct_at_0`` is the percentage of its notes that begin with it."""
    onsets = list(dict.fromkeys(note.onset_ticks for note in bar.notes))
    at_start = sum(note.onset_ticks == 0 for note in bar.notes)
    return {
        "n_notes": len(bar.notes),
        "onset_spq": onsets[:_FIRST],
        "unique_onsets": len(onsets),
        "pct_at_0": round(100 * at_start / len(bar.notes), 1) if bar.notes else 0.0,
        "pitches": list(dict.fromkeys(note.pitch for note in bar.notes))[:_FIRST],
    }
