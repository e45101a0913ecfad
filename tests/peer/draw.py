"""Random cases to put to both sides, drawn from a seed.

A case is JSON-ready, says its ``kind`` and has an ``id`` that, with the seed, is enough to draw it
again.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from midigpt.tokens import EncodeOptions
from tests.contract.vectors import unpack
from tests.peer.abilities import PUBLISHED, SKETCHES, Abilities, checkpoints, encoder_of
from tests.peer.abilities import language_of as language
from tests.peer.draw_requests import GREEDY, draw_request
from tests.peer.draw_scores import ODD, draw_score, hide_bars
from tests.peer.draw_tokens import draw_allowed, draw_decode, draw_encode
from tests.peer.forms import packed
from tests.peer.spoil import Draft, spoil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Case = dict[str, Any]


def draw_cases(seed: int, only: str | None = None) -> Iterator[Case]:
    """All cases of a seed, or the one with that id."""
    for kind, (count, draw) in KINDS.items():
        for number in range(count):
            name = f"{kind}-{number}"
            if only in (None, name):
                yield {"id": name, "kind": kind, **draw(Random(f"{seed} {name}"))}


def _levels(rng: Random) -> Case:
    encoder = rng.choice((*PUBLISHED, "every", "every"))
    able = Abilities.of("prism" if encoder == "every" else encoder)
    score = draw_score(
        rng,
        bars=rng.choice((0, 1, 2, 4, 8)),
        meters=able.meters,
        mixed=rng.random() < 0.5,
        odd=rng.random() < ODD,
    )
    return {"encoder": encoder, "score": score, "as_dict": rng.random() < ODD}


def _logits(rng: Random) -> Case:
    name = rng.choice([*checkpoints()])
    size = len(language(encoder_of(name)).tokenizer.vocabulary)

    def tokens(least: int, most: int) -> list[int]:
        return [rng.randrange(size) for _ in range(rng.randint(least, most))]

    prompt = tokens(1, 180)
    case: Case = {"checkpoint": name, "prompt": prompt, "then": tokens(0, 6), "hidden": []}
    if len(prompt) >= 4 and rng.random() < 0.5:
        edges = sorted(rng.sample(range(len(prompt) + 1), 2 * rng.randint(1, 2)))
        case["hidden"] = [list(span) for span in zip(edges[::2], edges[1::2], strict=True)]
    if rng.random() < 0.1:
        case["way"] = rng.choice(("nulled", "branch"))
    return case


def _song(rng: Random, encoder: str, *, notes: bool = True, most_bars: int = 12) -> Case:
    able = Abilities.of(encoder)
    bars = rng.choice([n for n in (4, 4, 5, 6, 8, 8, 10, 12) if n <= most_bars])
    return draw_score(
        rng,
        bars=max(bars, min(able.windows)),
        meters=able.meters[:6] or ((4, 4),),
        mixed=rng.random() < 0.1,
        odd=rng.random() < ODD / 3,
        busy=8 if notes else 0,
    )


def _plan(rng: Random) -> Case:
    name = rng.choice((*SKETCHES, "small", "small", "tiny_yellow", "tiny_prism", "tiny_expressive"))
    score = _song(rng, encoder_of(name), notes=rng.random() < 0.5)
    request = draw_request(rng, score, Abilities.of(encoder_of(name)), calm=0.7)
    ids = [*range(len(score["tracks"]))]
    if rng.random() < 0.3:
        request["config"]["context_drop"] = rng.sample(ids, rng.randint(0, len(ids)))
    if rng.random() < 0.3:
        request["config"]["context_keep"] = rng.sample(ids, rng.randint(0, len(ids)))
    return {"checkpoint": name, "score": score, "request": request}


def _cells(rng: Random) -> Case:
    tracks, bars = rng.randint(1, 4), rng.randint(1, 20)
    share = rng.random()
    return {
        "selected": [[rng.random() < share for _ in range(bars)] for _ in range(tracks)],
        "autoregressive": [rng.random() < 0.4 for _ in range(tracks)],
        "ignore": [rng.random() < 0.1 for _ in range(tracks)],
        "window": rng.choice((1, 2, 4, 8)),
        "bars_per_step": rng.randint(0, 9),
        "tracks_per_step": rng.randint(0, 4),
        "ar_overlap": rng.choice((0, 0.2, 0.5, 0.75, 0.9)),
        "min_overlap": rng.randint(0, 5),
    }


def _verdict(rng: Random) -> Case:
    encoder = rng.choice((*PUBLISHED, *SKETCHES, "bare"))
    score = _song(rng, encoder)
    request = draw_request(rng, score, Abilities.of(encoder), calm=0.7)
    if rng.random() < 0.85:
        spoil(Draft(rng, request, score, Abilities.of(encoder)))
    return {"encoder": encoder, "score": score, "request": request}


def _generate(rng: Random) -> Case:
    name = rng.choice((*SKETCHES[:-1] * 2, "small", "tiny_yellow", "tiny_prism", "tiny_expressive"))
    able = Abilities.of(encoder_of(name))
    score = _song(rng, encoder_of(name), most_bars=rng.choice((4, 8)))
    if rng.random() < 0.85:
        score = _as_a_model_writes(score, encoder_of(name))
    request = draw_request(rng, score, able, calm=0.85, whole=0.15)
    config = request["config"] | GREEDY
    if rng.random() < 0.8:
        config |= {"bars_per_step": 1, "tracks_per_step": 1}
    if rng.random() < 0.9:
        config["density_hard_limit"] = rng.randint(1, 6)
    if rng.random() < 0.04:
        config["mask_mode"] = rng.choice(("attention_skip", "attention_approx"))
    if rng.random() < 0.05:
        hide_bars(rng, score, share=0.1)
        for prompt in request["tracks"]:
            for bar in prompt["bars"] or range(len(score["tracks"][prompt["id"]]["bars"])):
                score["tracks"][prompt["id"]]["bars"][bar].pop("future", None)
    case = {"checkpoint": name, "score": score, "request": request | {"config": config}}
    return case | {"as_dict": rng.random() < ODD}


def _as_a_model_writes(score: Case, encoder: str) -> Case:
    """The score after a model has read and written it, which changes nothing a second time."""
    tokenizer = language(encoder).tokenizer
    options = EncodeOptions(window_bars=min(Abilities.of(encoder).windows))
    tokens = tokenizer.encode(unpack(score), options, compute_attributes=False).tokens
    return packed(tokenizer.decode(tokens))


KINDS: dict[str, tuple[int, Callable[[Random], Case]]] = {
    "encode": (2000, draw_encode),
    "decode": (800, draw_decode),
    "allowed": (400, draw_allowed),
    "levels": (800, _levels),
    "logits": (300, _logits),
    "plan": (1000, _plan),
    "cells": (600, _cells),
    "verdict": (2000, _verdict),
    "generate": (600, _generate),
}
"""How many cases of each kind, and how to draw one."""
