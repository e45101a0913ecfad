"""Whether two answers agree, and which defect of the reference explains it if they do not.

Defects have the numbers of the "quirks" sections of the specification, with the name of the part
before them. Each is recognised by what the case holds and by what is left of the difference without
what the defect touches, never by the case's id. What no defect explains is a failure.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from midigpt.inference.request import MASK_MODES
from tests.contract.vectors import unpack
from tests.peer.abilities import analyzer_of, language_of
from tests.peer.generations import judge_generation
from tests.peer.outcome import Outcome, first_difference, to_blame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.peer.draw import Case

    Answer = dict[str, Any]

TOLERANCE = 1e-4
"""Of logits; float32 against float64 differs by less than a tenth of it."""

MALFORMED = {"AttributeError", "KeyError", "TypeError", "ValueError"}
POLYPHONY = {
    *("MinPolyphony", "MaxPolyphony", "BarLevelOnsetPolyphonyMin", "BarLevelOnsetPolyphonyMax")
}


def judge(case: Case, ours: Answer, theirs: Answer) -> Outcome:
    """Compare the answers of both sides to a case."""
    outcome = Outcome()
    if "crash" in theirs:
        outcome.settle(f"the reference ended with {theirs['crash']}")
    elif case["kind"] != "verdict" and "error" in ours and "error" in theirs:
        outcome.compared = 1
        if ours["error"] not in {"EncodingError", "RequestValidationError"}:
            outcome.settle(f"ours raised {_told(ours)}; theirs raised {_told(theirs)}")
    else:
        try:
            _JUDGES[case["kind"]](case, ours, theirs, outcome)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            outcome.settle(f"answers of different shapes: {error!r}; ours {ours}, theirs {theirs}")
    return outcome


def notes_of(case: Case) -> Iterator[list[int]]:
    """All notes of the case's score, as [pitch, velocity, onset, duration, delta]."""
    for track in case["score"]["tracks"]:
        for bar in track["bars"]:
            yield from bar["notes"]


def _told(answer: Answer) -> str:
    return f"{answer['error']}: {answer['message']}" if "error" in answer else "nothing"


def _judge_encode(case: Case, ours: Answer, theirs: Answer, outcome: Outcome) -> None:
    outcome.compared = 1
    if "error" in ours:
        difference = f"ours raised {_told(ours)}, theirs did not"
        outcome.settle(difference, *_reasons_to_refuse(case))
    elif "error" in theirs:
        difference = f"theirs raised {_told(theirs)}, ours did not"
        outcome.settle(difference, *(_reasons_to_fail(case) if case["levels"] else ()))
    elif ours["tokens"] != theirs["tokens"]:
        vocabulary = language_of(case["encoder"]).tokenizer.vocabulary
        words = [
            [(vocabulary.types[t], vocabulary.values[t]) for t in side["tokens"]]
            for side in (ours, theirs)
        ]
        outcome.settle(first_difference(*words), *_stream_defects(case, *words))


def _reasons_to_refuse(case: Case) -> Iterator[str]:
    """Defects that make the reference encode what is to be refused."""
    options, tracks = case["options"], case["score"]["tracks"]
    fills = {tuple(cell) for cell in options.get("multi_fill", ())}
    cells = {(t, b) for t, track in enumerate(tracks) for b in range(len(track["bars"]))}
    if fills - cells:
        yield "tokenizer Q15"
    hiding = options.get("use_span_masks") or options.get("remove_future_bars")
    masks = "MaskBar" in language_of(case["encoder"]).tokenizer.vocabulary
    shown = {(t, b) for t, b in cells - fills if tracks[t]["bars"][b].get("future")}
    if shown and not hiding and not masks:
        yield "tokenizer Q8"


def _reasons_to_fail(case: Case) -> Iterator[str]:
    """Defects that keep the reference from measuring levels."""
    if any(note[2] < 0 for note in notes_of(case)):
        yield "attributes 13"
    if "Tension" in language_of(case["encoder"]).tokenizer.vocabulary:
        yield "attributes 7"


def _stream_defects(
    case: Case, ours: list[tuple[str, int]], theirs: list[tuple[str, int]]
) -> list[str]:
    """Defects that touch token types and without whose types the streams are equal."""
    tokenizer = language_of(case["encoder"]).tokenizer
    touched = {
        "tokenizer Q13": (any(n[1] <= 0 for n in notes_of(case)), {"VelocityLevel"}),
        "tokenizer Q9": (tokenizer.config.lowest_pitch > 0, {"NoteOnset"}),
        "attributes 7": ("Tension" in tokenizer.vocabulary, {"Tension", "TensionDrum"}),
        "attributes 13": (any(n[2] < 0 for n in notes_of(case)), POLYPHONY),
    }
    return to_blame({name: types for name, (on, types) in touched.items() if on}, ours, theirs)


def _judge_decode(case: Case, ours: Answer, theirs: Answer, outcome: Outcome) -> None:
    outcome.compared = 1
    if ours != theirs:
        strays = _notes_outside_bars(case) and _cut_to(theirs, ours) == ours
        defects = ["tokenizer Q6"] if strays else []
        outcome.settle(f"ours {ours}, theirs {theirs}", *defects)


def _notes_outside_bars(case: Case) -> bool:
    """Whether notes stand after the end of a bar, up to the fill blocks."""
    types = language_of(case["encoder"]).tokenizer.vocabulary.types
    closed = False
    for token in case["tokens"]:
        type_ = types[token]
        if type_ == "FillInStart":
            return False
        closed = type_ == "BarEnd" or (closed and type_ not in {"Bar", "Track", "TrackEnd"})
        if closed and type_ in {"NoteOnset", "NotePitch"}:
            return True
    return False


def _cut_to(score: Answer, kept: Answer) -> Answer:
    """The score with only as many of each bar's first notes as ``kept`` has."""
    score = copy.deepcopy(score)
    for track, kept_track in zip(score["tracks"], kept["tracks"], strict=False):
        for bar, kept_bar in zip(track["bars"], kept_track["bars"], strict=False):
            del bar["notes"][len(kept_bar["notes"]) :]
    return score


def _judge_allowed(_: Case, ours: Answer, theirs: Answer, outcome: Outcome) -> None:
    pairs = zip(ours["sets"], theirs["sets"], strict=True)
    outcome.compared = len(ours["sets"])
    for place, (left, right) in enumerate(pairs):
        if left != right:
            outcome.settle(f"after {place} tokens: ours {left}, theirs {right}")


def _judge_levels(case: Case, ours: Answer, theirs: Answer, outcome: Outcome) -> None:
    outcome.compared = sum(1 + len(track["bars"]) for track in case["score"]["tracks"]) or 1
    if "error" in ours or "error" in theirs or not _same_levels(ours, theirs):
        difference = f"ours {ours}, theirs {theirs}"
        outcome.settle(difference, *_level_defects(case, ours, theirs))


def _same_levels(ours: Answer, theirs: Answer) -> bool:
    values = [
        (value, track.get(name))
        for mine, track in zip(ours["values"], theirs["values"], strict=True)
        for name, value in mine.items()
    ]
    close = all(b is not None and abs(a - b) < 1e-9 for a, b in values)
    return ours["levels"] == theirs["levels"] and close


def _level_defects(case: Case, ours: Answer, theirs: Answer) -> list[str]:
    if case["as_dict"] and "error" not in theirs:
        score = unpack(case["score"])
        for track in score.tracks:
            for bar in track.bars:
                bar.beat_length = 4.0
        analyzer = analyzer_of(case["encoder"])
        levels = [levels._asdict() for levels in analyzer.compute_score(score)]
        if _same_levels({"levels": levels, "values": analyzer.compute_all(score)}, theirs):
            return ["score S1"]
    if any(note[2] < 0 for note in notes_of(case)) and "error" not in ours:
        left, right = (_without_polyphony(side) for side in (ours, theirs))
        return ["attributes 13"] if "error" in theirs or _same_levels(left, right) else []
    return []


def _without_polyphony(answer: Answer) -> Answer:
    """The answer without what the reference counts from the end of an array."""

    def rest(levels: Answer) -> Answer:
        return {k: v for k, v in levels.items() if k not in POLYPHONY and "polyphony" not in k}

    if "error" in answer:
        return answer
    return {
        "levels": [
            {"track": rest(track["track"]), "bars": [rest(bar) for bar in track["bars"]]}
            for track in answer["levels"]
        ],
        "values": [rest(values) for values in answer["values"]],
    }


def _judge_logits(case: Case, ours: Answer, theirs: Answer, outcome: Outcome) -> None:
    vectors = [(ours["every"], theirs["every"]), *zip(ours["last"], theirs["last"], strict=True)]
    outcome.compared = len(vectors)
    defect = {"branch": "model 2", "nulled": "model 3"}.get(case.get("way", ""))
    for place, (left, right) in enumerate(vectors):
        worst = max(abs(a - b) for a, b in zip(left, right, strict=True))
        if worst > TOLERANCE:
            # the prefill and what follows it directly come before the cache is touched
            touched = defect is not None and place > (2 if defect == "model 2" else 1)
            outcome.settle(f"vector {place} is off by {worst}", *([defect] if touched else []))


def _judge_equal(_: Case, ours: Answer, theirs: Answer, outcome: Outcome) -> None:
    outcome.compared = 1
    if ours != theirs:
        outcome.settle(f"ours {ours}, theirs {theirs}")


def _judge_verdict(case: Case, ours: Answer, theirs: Answer, outcome: Outcome) -> None:
    outcome.compared = 1
    if "error" in ours and "error" in theirs:
        kinds = ours["error"], theirs["error"]
        better = kinds[0] == "RequestValidationError" and kinds[1] in MALFORMED
        if not (kinds[0] == kinds[1] or better or MALFORMED.issuperset(kinds)):
            outcome.settle(f"ours raised {_told(ours)}; theirs raised {_told(theirs)}")
    elif ours != theirs:
        difference = f"ours raised {_told(ours)}; theirs raised {_told(theirs)}"
        if "error" not in ours and "error" not in theirs:
            difference = f"ours {ours}, theirs {theirs}"
        outcome.settle(difference, *(_accepted_by_mistake(case) if "error" in ours else ()))


def _accepted_by_mistake(case: Case) -> Iterator[str]:
    """Defects that make the reference accept what is to be refused."""
    if case["request"].get("config", {}).get("mask_mode", "auto") not in MASK_MODES:
        yield "inference Q-01"
    per_bar = [
        name
        for prompt in case["request"]["tracks"]
        for controls in prompt.get("bar_controls", {}).values()
        for name in controls
    ]
    if {"pitch_mask", "rhythm_mask", "remix"} & {*per_bar}:
        yield "inference Q-02"


_JUDGES: dict[str, Callable[[Case, Answer, Answer, Outcome], None]] = {
    "encode": _judge_encode,
    "decode": _judge_decode,
    "allowed": _judge_allowed,
    "levels": _judge_levels,
    "logits": _judge_logits,
    "plan": _judge_equal,
    "cells": _judge_equal,
    "verdict": _judge_verdict,
    "generate": judge_generation,
}
