"""Why two legal sets differ: the defects of the reference that let in or keep out a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from midigpt.inference.rules import Room
from midigpt.tokens.grammar_types import BAR_ATTRIBUTES, TRACK_ATTRIBUTES
from midigpt.tokens.types import canonical

if TYPE_CHECKING:
    from tests.peer.draw import Case
    from tests.peer.recorded import RecordedStep

    Runs = list[list[int]]

LEVELS = BAR_ATTRIBUTES | TRACK_ATTRIBUTES


def tokens_in(legal: Runs | None) -> set[int]:
    """The tokens of a legal set."""
    return {token for start, end in legal or () for token in range(start, end)}


class Place:
    """A place in a generation where the legal sets differ.

    Args:
        step: the step.
        place: number of tokens sampled before; both sides have the same.
    """

    def __init__(self, step: RecordedStep, place: int) -> None:
        record, types = step.record, step.vocabulary.types
        self._step = step
        self._sampled = record["generated"][:place]
        self._tokens = [*record["prompt"], *self._sampled]
        self._seen = [types[token] for token in self._tokens]
        self._active = step.prompts[step.targets[0][0]]

    def defects(self, ours: Runs | None, theirs: Runs | None) -> list[str]:
        """Defects that together explain every token that only one side allows, or none."""
        left, right = tokens_in(ours), tokens_in(theirs)
        found = {self._defect(token, left, right) for token in left ^ right}
        return sorted(name for name in found if name) if None not in found else []

    def _defect(self, token: int, ours: set[int], theirs: set[int]) -> str | None:
        """The defect because of which only one side allows the token."""
        type_, added = self._step.vocabulary.types[token], token in theirs
        continued = self._step.record["autoregressive"]
        name = (self._in_continuation if continued else self._in_fill)(type_, added=added)
        if name is None and self._seen[-1] == "DeltaDirection" and self._is_forced():
            name = "inference Q-26"
        if name is None and self._is_out_of_room(ours):
            name = "our bars make room"
        return name

    def _in_fill(self, type_: str, *, added: bool) -> str | None:
        if self._seen[-1] == "FillInEnd" and added and type_ in {"BarEnd", "None"}:
            return "inference Q-07"
        if self._has_wrong_meter() and (type_ == "TimeAbsolutePos" or self._is_forced()):
            return "inference Q-06"
        return None

    def _in_continuation(self, type_: str, *, added: bool) -> str | None:
        if added and type_ in LEVELS and (self._is_given(type_) or self._is_unfit(type_)):
            return "inference Q-08"
        if added and type_ == "TimeAbsolutePos" and self._seen[-1] in BAR_ATTRIBUTES:
            return "inference Q-08"
        if added and type_ == "TrackLevelNomml" and "nomml" in self._active.get("attributes", {}):
            return "inference Q-09"
        if added and type_ in self._asked_of_bars(self._active):
            return "inference Q-11"
        others = [p for p in self._step.prompts.values() if p is not self._active and _is_full(p)]
        asked = [self._asked_of_track(p) | self._asked_of_bars(p) for p in others]
        return "inference Q-12" if not added and type_ in set().union(*asked) else None

    def _has_wrong_meter(self) -> bool:
        """Whether the bar being filled has another meter than the last one of the prompt."""
        block = self._seen.count("FillInStart") - 1
        if "TimeSig" not in self._seen or not 0 <= block < len(self._step.targets):
            return False
        track, bar = self._step.targets[block]
        last = max(i for i, type_ in enumerate(self._seen) if type_ == "TimeSig")
        meters: Any = self._step.language.tokenizer.config.time_signatures
        meter = self._step.case["score"]["tracks"][track]["bars"][bar]["ts"]
        return tuple(meter) != meters[self._step.vocabulary.values[self._tokens[last]]]

    def _is_given(self, type_: str) -> bool:
        """Whether the level was given since the track or the bar began."""
        began = max(i for i, seen in enumerate(self._seen) if seen in {"Track", "Bar"})
        return type_ in self._seen[began:]

    def _is_unfit(self, type_: str) -> bool:
        """Whether the level is one for other tracks."""
        kind = self._step.case["score"]["tracks"][self._active["id"]]["track_type"]
        attributes = self._step.language.analyzer.attributes
        kinds = {canonical(a.token_type): a.track_type for a in attributes}
        return kinds.get(type_, "both") not in {kind, "both"}

    def _asked_of_track(self, prompt: Case) -> set[str]:
        """Token types of which a prompt asks for one value."""
        types = {self._step.level_type(name) for name in prompt.get("attributes", {})}
        return types | ({"TimeSig"} if "time_signature" in prompt.get("controls", {}) else set())

    def _asked_of_bars(self, prompt: Case) -> set[str]:
        """Token types of which a prompt asks for one value in some bar."""
        per_bar = prompt.get("bar_attributes", {}).values()
        types = {self._step.level_type(name) for levels in per_bar for name in levels}
        return types | ({"TimeSig"} if prompt.get("bar_controls") else set())

    def _is_forced(self) -> bool:
        """Whether a rhythm is forced on the step."""
        controls = [self._step.prompts[t].get("controls", {}) for t, _ in self._step.targets]
        return any("remix" in c or "positions" in c.get("rhythm_mask", {}) for c in controls)

    def _is_out_of_room(self, ours: set[int]) -> bool:
        """Whether we only let the bar end because it has had its share of a short context."""
        step, ends = self._step, self._step.language.ends
        budget = step.answer["context"] - len(step.record["prompt"]) - 1
        room = Room(step.vocabulary, ends, budget, len(step.targets), step.later())
        for token in self._sampled:
            room.advance(token)
        mask = np.ones(len(step.vocabulary), dtype=np.bool_)
        return room.close(mask) and ours <= ends.bar_ends


def _is_full(prompt: Case) -> bool:
    """Whether the track is written from its first bar on."""
    return bool(prompt.get("autoregressive")) and (not prompt["bars"] or 0 in prompt["bars"])
