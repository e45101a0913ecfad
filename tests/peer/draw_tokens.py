"""Random token streams and grammars, and scores to write as tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from midigpt.errors import EncodingError
from midigpt.tokens import EncodeOptions
from tests.contract.vectors import unpack
from tests.peer.abilities import PUBLISHED, SKETCHES, Abilities
from tests.peer.abilities import language_of as language
from tests.peer.draw_scores import ODD, draw_score, hide_bars

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Case = dict[str, Any]

TOKENIZERS = (*PUBLISHED * 3, *SKETCHES, "v_maskbar", "v_delta", "v_plain", "v_tension")


def draw_encode(rng: Random) -> Case:
    """A score to write as tokens."""
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


def draw_decode(rng: Random) -> Case:
    """Tokens to read."""
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


def draw_allowed(rng: Random) -> Case:
    """Tokens, and constraints under which they are observed."""
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
