"""Puts cases to this implementation; the answers have the form of the reference worker's."""

from __future__ import annotations

import math
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from midigpt import Score
from midigpt.errors import GenerationError
from midigpt.inference import GenerationRequest, InferenceEngine, validate_request
from midigpt.inference.constraints import (
    BarValueConstraint,
    DensityCap,
    PolyphonyCap,
    ValueConstraint,
)
from midigpt.inference.filters import Filters
from midigpt.inference.plan import plan
from midigpt.inference.rules import Rules
from midigpt.model import PlainDecoder, load_checkpoint
from midigpt.tokens import EncodeOptions
from tests.contract.vectors import unpack
from tests.peer.abilities import analyzer_of, checkpoints, language_of
from tests.peer.forms import SETTLED, as_dict, packed, runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midigpt.inference.constraints import _Cap
    from midigpt.inference.session import SamplingSession
    from tests.peer.draw import Case

    Answer = dict[str, Any]


def answer(case: Case) -> Answer:
    """The answer to a case; an exception is one too."""
    try:
        return _KINDS[case["kind"]](case)
    except Exception as error:  # noqa: BLE001 - whatever is raised is to be compared
        return {"error": type(error).__name__, "message": str(error)}


def _score(case: Case) -> Score:
    score = case["score"]
    return Score.from_dict(as_dict(score)) if case.get("as_dict") else unpack(score)


@cache
def _engine(checkpoint: str) -> InferenceEngine:
    return InferenceEngine.from_checkpoint(
        checkpoints()[checkpoint], device="cpu", precision="fp32"
    )


def _encode(case: Case) -> Answer:
    options = dict(case["options"])
    options["multi_fill"] = frozenset(map(tuple, options.get("multi_fill", ())))
    encoded = language_of(case["encoder"]).tokenizer.encode(
        _score(case), EncodeOptions(**options), compute_attributes=case["levels"]
    )
    return {"tokens": encoded.tokens}


def _decode(case: Case) -> Answer:
    return packed(language_of(case["encoder"]).tokenizer.decode(case["tokens"]))


def _allowed(case: Case) -> Answer:
    language = language_of(case["encoder"])
    state = language.grammar.rules(**case["options"]).start()
    limits = [_limit(case["encoder"], limit) for limit in case["limits"]]
    mask = np.empty(len(language.tokenizer.vocabulary), dtype=np.bool_)
    sets = []
    for token in (None, *case["tokens"]):
        if token is not None:
            for observer in (state, *limits):
                observer.advance(token)
        state.mask(mask)
        for limit in limits:
            limit.restrict(mask)
        sets.append(runs(mask))
    return {"sets": sets}


def _limit(encoder: str, limit: Case) -> _Cap | ValueConstraint:
    vocabulary = language_of(encoder).tokenizer.vocabulary
    if "polyphony" in limit:
        return PolyphonyCap(vocabulary, limit["polyphony"])
    if "density" in limit:
        return DensityCap(vocabulary, limit["density"])
    if "bar" in limit:
        return BarValueConstraint(
            vocabulary, *(limit[n] for n in ("type", "value", "track", "bar"))
        )
    return ValueConstraint(vocabulary, limit["type"], limit["value"])


def _levels(case: Case) -> Answer:
    analyzer, score = analyzer_of(case["encoder"]), _score(case)
    return {
        "levels": [levels._asdict() for levels in analyzer.compute_score(score)],
        "values": analyzer.compute_all(score),
    }


@torch.inference_mode()
def _logits(case: Case) -> Answer:
    model = load_checkpoint(checkpoints()[case["checkpoint"]], "cpu").model
    visible = torch.ones(len(case["prompt"]), dtype=torch.bool)
    for start, end in case["hidden"]:
        visible[start:end] = False
    every, _ = model(torch.tensor([case["prompt"]]), None, visible)
    decoder = PlainDecoder(model)
    last = [decoder.prefill(0, case["prompt"], case["hidden"])]
    last += [decoder.step([0], [token])[0] for token in case["then"]]
    return {"every": every[0].logsumexp(-1).tolist(), "last": [row.tolist() for row in last]}


def _planned(session: SamplingSession) -> Answer:
    return {
        "plan": session.plan_summary(),
        "generated_bars": session.generated_bars,
        "dropped": session.dropped_context,
    }


def _session(case: Case) -> SamplingSession:
    request = GenerationRequest.from_dict(case["request"])
    return _engine(case["checkpoint"]).session(_score(case), request)


def _plan(case: Case) -> Answer:
    return _planned(_session(case))


def _cells(case: Case) -> Answer:
    selected = [
        [chosen and not ignored for chosen in track]
        for track, ignored in zip(case["selected"], case["ignore"], strict=True)
    ]
    settings = ("window", "bars_per_step", "tracks_per_step", "ar_overlap", "min_overlap")
    steps = plan(selected, case["autoregressive"], **{name: case[name] for name in settings})
    return {"steps": [[*step.window, step.autoregressive, sorted(step.targets)] for step in steps]}


def _verdict(case: Case) -> Answer:
    language = language_of(case["encoder"])
    request = GenerationRequest.from_dict(case["request"])
    config = language.tokenizer.config
    settled = validate_request(request, _score(case), config, language.analyzer)
    return {
        "settled": {name: getattr(settled.config, name) for name in SETTLED},
        "bars": {str(prompt.id): list(prompt.bars) for prompt in settled.tracks},
    }


def _generate(case: Case) -> Answer:
    session = _session(case)
    answer, steps = _planned(session), []

    def record(step: Any, row: Any) -> None:
        steps.append(
            {
                "window": list(step.window),
                "autoregressive": step.autoregressive,
                "targets": sorted([session.part_ids[t], bar] for t, bar in step.targets),
                "prompt": list(row.prompt.tokens),
                "hidden": list(row.prompt.hidden),
                "generated": row.tokens,
                "status": row.status.value,
                "legal": watched.pop("legal", []),
                "margins": watched.pop("margins", []),
            }
        )

    session.attempt_sink = record
    with _watching() as watched:
        try:
            answer["result"] = packed(session.run())
        except GenerationError as error:
            answer["failure"] = str(error)
    answer |= {"steps": steps, "truncated": session.truncated, "gen_count": session.gen_count}
    return answer | {"context": session.max_context_len}


@contextmanager
def _watching() -> Iterator[dict[str, list[Any]]]:
    """Collects the legal set before each token, and by how much the likeliest one leads."""
    watched: dict[str, list[Any]] = {}
    mask, apply = Rules.mask, Filters.apply

    def watched_mask(self: Rules, out: Any) -> None:
        mask(self, out)
        watched.setdefault("legal", []).append(runs(out))

    def watched_apply(self: Filters, probs: torch.Tensor) -> torch.Tensor:
        first, second = probs[0].topk(2).values.tolist()
        lead = math.log(first / second) if second else math.inf
        watched.setdefault("margins", []).append(lead)
        return apply(self, probs)

    Rules.mask, Filters.apply = watched_mask, watched_apply
    try:
        yield watched
    finally:
        Rules.mask, Filters.apply = mask, apply


_KINDS = {
    "encode": _encode,
    "decode": _decode,
    "allowed": _allowed,
    "levels": _levels,
    "logits": _logits,
    "plan": _plan,
    "cells": _cells,
    "verdict": _verdict,
    "generate": _generate,
}
