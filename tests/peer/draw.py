"""Random cases to put to both sides, drawn from a seed.

A case is JSON-ready, says its ``kind`` and has an ``id`` that, with the seed, is enough to draw it
again.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from midigpt.errors import EncodingError
from midigpt.tokens import EncodeOptions
from tests.contract.vectors import unpack
from tests.peer.abilities import PUBLISHED, SKETCHES, Abilities, checkpoints, encoder_of
from tests.peer.abilities import language_of as language
from tests.peer.draw_requests import GREEDY, draw_request
from tests.peer.draw_scores import draw_score, hide_bars
from tests.peer.forms import packed
from tests.peer.spoil import Draft, spoil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Case = dict[str, Any]

ODD = 0.06
"""Share of the cases with values that a careful caller would not send."""

TOKENIZERS = (*PUBLISHED * 3, *SKETCHES, "v_maskbar", "v_delta", "v_plain", "v_tension")


def draw_cases(seed: int, only: str | None = None) -> Iterator[Case]:
    """All cases of a seed, or the one with that id."""
    for kind, (count, draw) in KINDS.items():
        for number in range(count):
            name = f"{kind}-{number}"
            if only in (None, name):
                yield {"id": name, "kind": kind, **draw(Random(f"{seed} {name}"))}


def _encode(rng: Random) -> Case:
    encoder = rng.choice(TOKENIZERS)
    able = Abilities.of(encoder)
    bars = rng.choice(able.windows) if rng.random() < 0.96 else rng.choice((0, 5, 7))
    score = draw_score(
        rng,
        bars=bars,
        meters=able.meters or ((4, 4),),
        mixed=rng.random() < 0.3,
        # an onset or a length below 0 becomes an endless song on the reference's way to tension
        odd=rng.random() < ODD and encoder != "v_tension",
    )
    options, levels = _options(rng, score, able), rng.random() < 0.8
    if not levels and rng.random() < 0.5:
        _store_levels(rng, score, able)
    return {"encoder": encoder, "score": score, "options": options, "levels": levels}


def _options(rng: Random, score: Case, able: Abilities) -> Case:
    """Encoding options, and hidden bars in the score where they ask for some."""
    cells = [(t, b) for t, track in enumerate(score["tracks"]) for b in range(len(track["bars"]))]
    careless = rng.random() < ODD / 2
    options: Case = {}
    if cells and rng.random() < 0.35 and (able.infill or careless):
        options["multi_fill"] = sorted(rng.sample(cells, min(len(cells), rng.randint(1, 4))))
        if careless:
            options["multi_fill"].append((9, 9))
    if rng.random() < 0.2:
        options["partial_encode_track_index"] = rng.randrange(len(score["tracks"]))
        options["partial_encode_track_bars"] = rng.randint(-1, 9)
    if rng.random() < 0.3:
        masks = [{"use_span_masks": True}, {"remove_future_bars": True}]
        masks += [{}] if able.masks or careless else []
        options |= rng.choice(masks)
        hide_bars(rng, score)
    if rng.random() < 0.2:
        options["use_velocity"] = rng.randint(-1, 1)
        options["use_microtiming"] = rng.randint(-1, 1)
    if able.genres and rng.random() < 0.3:
        options["genre"] = rng.randint(-1, 20)
    if rng.random() < 0.1:
        options["window_bars"] = rng.choice(able.windows)
    return options


def _store_levels(rng: Random, score: Case, able: Abilities) -> None:
    """Levels on the tracks themselves, as a caller may put them there."""
    types = ("BarLevelOnsetDensity", "BarLevelOnsetPolyphonyMin", "PitchClassSet")
    for track in score["tracks"]:
        names = able.attributes_for("track", rng.choice(("melodic", "drum")))
        stored = {name: rng.randint(0, 12) for name in names if rng.random() < 0.5}
        for bar in range(len(track["bars"])):
            stored |= {f"bar_{t}_{bar}": rng.randint(0, 9) for t in types if rng.random() < 0.1}
        track["attributes"] = stored


def _decode(rng: Random) -> Case:
    # v_tension has another lowest pitch, a defect of its own
    encoder = rng.choice([name for name in TOKENIZERS if name != "v_tension"])
    tokens = _stream(rng, encoder)
    if rng.random() < 0.2:
        tokens = _disturbed(rng, encoder, tokens)
    return {"encoder": encoder, "tokens": tokens}


def _disturbed(rng: Random, encoder: str, tokens: list[int]) -> list[int]:
    """The stream with tokens of notes and levels lost or strewn in; what holds it together stays.

    A track that is closed twice crashes the reference.
    """
    vocabulary = language(encoder).tokenizer.vocabulary
    frame = {"PieceStart", "Track", "TrackEnd", "Bar", "BarEnd", "FillInStart", "FillInEnd"}
    loose = [token for token in range(len(vocabulary)) if vocabulary.types[token] not in frame]
    disturbed: list[int] = []
    for token in tokens:
        if vocabulary.types[token] in frame or rng.random() > 0.05:
            disturbed.append(token)
        if rng.random() < 0.05:
            disturbed.append(rng.choice(loose))
    return disturbed


def _stream(rng: Random, encoder: str) -> list[int]:
    """Tokens of a score, or ones that the grammar allows."""
    tokenizer, able = language(encoder).tokenizer, Abilities.of(encoder)
    if rng.random() < 0.5:
        return _walk(rng, encoder, rng.randint(20, 250))
    score = draw_score(rng, bars=min(able.windows), meters=able.meters or ((4, 4),), mixed=True)
    fills = [(0, b) for b in range(min(able.windows)) if able.infill and rng.random() < 0.2]
    try:
        return tokenizer.encode(unpack(score), EncodeOptions(multi_fill=frozenset(fills))).tokens
    except EncodingError:
        return _walk(rng, encoder, 50)


def _walk(rng: Random, encoder: str, length: int, **options: Any) -> list[int]:
    """Allowed tokens, each type equally likely; the end of the piece ends it early."""
    vocabulary = language(encoder).tokenizer.vocabulary
    state = language(encoder).grammar.rules(**options).start()
    mask = np.empty(len(vocabulary), dtype=np.bool_)
    tokens: list[int] = []
    while len(tokens) < length:
        state.mask(mask)
        allowed = np.flatnonzero(mask).tolist()
        if not allowed:
            break
        types = sorted({vocabulary.types[token] for token in allowed})
        type_ = rng.choice(types)
        token = rng.choice([t for t in allowed if vocabulary.types[t] == type_])
        state.advance(token)
        tokens.append(token)
    return tokens


def _allowed(rng: Random) -> Case:
    encoder = rng.choice(TOKENIZERS)
    vocabulary = language(encoder).tokenizer.vocabulary
    options: Case = {
        name: value()
        for name, value in (
            ("require_notes", lambda: rng.random() < 0.5),
            ("exact_bars", lambda: rng.randint(0, 5)),
            ("max_tracks", lambda: rng.randint(0, 4)),
            ("autoregressive", lambda: True),
            ("mask_track_start", lambda: True),
            ("mask_track_end", lambda: True),
        )
        if rng.random() < 0.25
    }
    roll = rng.random()
    tokens = _walk(rng, encoder, 60, **options) if roll < 0.6 else _stream(rng, encoder)[:120]
    if roll > 0.85:
        tokens = [t if rng.random() < 0.9 else rng.randrange(len(vocabulary)) for t in tokens]
    limits = [draw() for draw in _limits(rng, encoder) if rng.random() < 0.2]
    return {"encoder": encoder, "options": options, "limits": limits, "tokens": tokens}


def _limits(rng: Random, encoder: str) -> list[Callable[[], Case]]:
    """Makers of constraints beside the grammar."""
    vocabulary = language(encoder).tokenizer.vocabulary
    types = ("MinPolyphony", "NoteDensity", "KeySignature", "TimeSig", "BarLevelOnsetDensity")
    known = [t for t in types if t in vocabulary] or ["Track"]
    bar_types = [t for t in ("TimeSig", "BarLevelOnsetPolyphonyMax") if t in vocabulary] or known

    def value(of: list[str]) -> Case:
        type_ = rng.choice(of)
        return {"type": type_, "value": rng.randrange(vocabulary.domain_size(type_))}

    return [
        lambda: {"polyphony": rng.randint(1, 4)},
        lambda: {"density": rng.randint(1, 6)},
        lambda: value(known),
        lambda: {**value(bar_types), "track": rng.randint(0, 2), "bar": rng.randint(0, 4)},
    ]


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
    "encode": (2000, _encode),
    "decode": (800, _decode),
    "allowed": (400, _allowed),
    "levels": (800, _levels),
    "logits": (300, _logits),
    "plan": (1000, _plan),
    "cells": (600, _cells),
    "verdict": (2000, _verdict),
    "generate": (600, _generate),
}
"""How many cases of each kind, and how to draw one."""
