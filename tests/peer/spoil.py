"""Ways to make a request, or the score it is about, one that is to be refused. Or nearly so."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from tests.peer.abilities import Abilities

SETTINGS: dict[str, tuple[Any, ...]] = {
    "model_dim": (0, -1, None, 3, 5, 8, "auto"),
    "bars_per_step": (-1, 0, 1, 4, 9, "auto"),
    "tracks_per_step": (-1, 0, 1, 2, "auto"),
    "ar_overlap": (-0.1, 0, 0.99, 1, 2),
    "context": ("auto", "listed", "all", "none", ""),
    "context_drop": ([], [0], [0, 0], [7], [-1]),
    "context_keep": ([], [0], [9]),
    "budget_margin": (0.5, 0.99, 1, 3),
    "min_overlap_bars": (-1, 0, 3, 20),
    "max_attempts": (-1, 0, 1, 5),
    "num_candidates": (0, 1, 16, 17, -2),
    "temperature": (-1, 0, 0.01, 2),
    "infill_probability": (-0.5, 0, 0.3, 1, 1.5),
    "temperature_escalation": (0.5, 1, 2, 3, 3.5, 100),
    "top_p": (-0.1, 0, 0.4, 1, 1.1),
    "novelty_threshold": (0, 0.5, 1, 1.01, -1),
    "mask_p": (-0.1, 0, 0.3, 0.99, 1),
    "top_k": (-1, 0, 5),
    "mask_k": (-1, 0, 5),
    "mask_mode": (
        *("auto", "token", "attention", "attention_approx", "attention_skip", "remove", "bogus"),
    ),
    "seed": (-5, 0, None, 7),
    "unknown_setting": (1,),
}
PAIRS = (
    {"mask_p": 0.5, "top_p": 0.4},
    {"mask_p": 0.4, "top_p": 0.4},
    {"mask_p": 0.3, "top_p": 0.4},
    {"mask_k": 5, "top_k": 5},
    {"mask_k": 4, "top_k": 5},
    {"mask_k": 6, "top_k": 0},
    {"model_dim": 4, "bars_per_step": 5},
)
CONTROLS: dict[str, tuple[Any, ...]] = {
    "time_signature": (-1, 0, 2, 99),
    "pitch_mask": (
        *({}, {"pitches": []}, {"pitches": [128]}, {"pitches": [-1]}, {"pitches": [60, 61]}),
        *({"scale": "major"}, {"scale": "klingon"}, {"scale": "blues", "root": 25}, "major"),
        *({"scale": "major", "pitch_classes": [0]}, {"pitch_classes": []}, {"tune": 1}, []),
        *({"pitch_classes": [13, 0]}, {"shape": {}}, {"shape": "normal"}),
        *({"shape": {"type": "round"}}, {"shape": {"type": "uniform", "min": 60, "max": 50}}),
        *({"shape": {"type": "normal"}}, {"shape": {"type": "uniform", "min": 40, "max": 90}}),
    ),
    "rhythm_mask": (
        *({}, "straight", {"grid": {"unit": "quarter"}}, {"grid": {"unit": "third"}}),
        *({"grid": {}}, {"grid": "quarter"}, {"grid": {"unit": "half", "strength": 1.5}}),
        *({"positions": []}, {"positions": [{"pos": 0}]}, {"positions": [{"pos": 3}]}),
        *({"positions": [{"pos": 0}, {"pos": 0}]}, {"positions": [{"pos": -1}]}, {"swing": 1}),
        *({"positions": [{"pos": 0, "polyphony": 0}]}),
        *({"positions": [{"pos": 0}, {"pos": 500}]}),
        {"positions": [{"pos": 0}], "grid": {"unit": "half"}},
    ),
    "remix": (
        *({}, {"amount": 0}, {"amount": 1}, {"amount": 1.1}, {"amount": "half"}, {"amount": 0.5}),
        *({"amount": 0.5, "mode": "full"}, {"amount": 0.5, "mode": "half"}, "yes", {"amount": -1}),
        {"amount": 0.5, "extra": 1},
    ),
    "tempo": (120,),
}
PIECE: dict[str, tuple[Any, ...]] = {
    "velocity": (True, False, 1, "yes"),
    "microtiming": (True, False, 0),
    "genre": ("jazz", "JAZZ", "swing", " jazz", "polka", 3),
    "tempo": (120,),
}
ATTRIBUTES = (
    *("note_density", "min_polyphony", "max_polyphony", "max_note_duration", "pitch_range"),
    *("key_signature", "nomml", "silence_proportion", "bar_note_density", "bar_max_polyphony"),
    *("pitch_class_set", "swing", "genre"),
)


@dataclass(frozen=True)
class Draft:
    """A request that is about to be spoiled.

    Attributes:
        rng: the source of everything random.
        request: the request.
        score: the packed score it is about.
        able: what the checkpoint can be asked for.
    """

    rng: Random
    request: dict[str, Any]
    score: dict[str, Any]
    able: Abilities

    def some_prompt(self) -> dict[str, Any]:
        """One of the track prompts, or a lost one where there is none."""
        return self.rng.choice(self.request.get("tracks") or [{}])

    def some_bar(self, prompt: dict[str, Any]) -> int:
        """A bar that is written or one that is not."""
        written = prompt.get("bars") if self.rng.random() < 0.7 else None
        return self.rng.choice(written or (0, 3, 40))


def spoil(draft: Draft) -> None:
    """Change one thing or two, for the worse or not.

    Something of the wrong type comes alone: which of several faults is told first is a matter of
    taste, but not whether they make a request malformed or invalid.
    """
    if draft.rng.random() < 0.15:
        draft.rng.choice(_MALFORMED)(draft)
        return
    for way in draft.rng.sample(_WAYS, draft.rng.choice((1, 1, 2))):
        way(draft)


def _setting(draft: Draft) -> None:
    name = draft.rng.choice([*SETTINGS])
    config = draft.request.setdefault("config", {})
    config[name] = draft.rng.choice(SETTINGS[name])
    if draft.rng.random() < 0.2:
        config.update(draft.rng.choice(PAIRS))


def _piece(draft: Draft) -> None:
    name = draft.rng.choice([*PIECE])
    draft.request["controls"][name] = draft.rng.choice(PIECE[name])


def _control(draft: Draft) -> None:
    name = draft.rng.choice([*CONTROLS])
    draft.some_prompt().setdefault("controls", {})[name] = draft.rng.choice(CONTROLS[name])


def _bar_control(draft: Draft) -> None:
    name = draft.rng.choice(("time_signature", "time_signature", *CONTROLS))
    prompt = draft.some_prompt()
    value = draft.rng.choice(CONTROLS[name])
    prompt["bar_controls"] = {str(draft.some_bar(prompt)): {name: value}}


def _attribute(draft: Draft) -> None:
    level = draft.rng.choice((-1, 0, 1, 4, 9, 10, 30))
    draft.some_prompt().setdefault("attributes", {})[draft.rng.choice(ATTRIBUTES)] = level


def _bar_attribute(draft: Draft) -> None:
    prompt = draft.some_prompt()
    levels = {draft.rng.choice(ATTRIBUTES): draft.rng.choice((-1, 0, 2, 9, 10))}
    prompt["bar_attributes"] = {str(draft.some_bar(prompt)): levels}


def _prompt_member(draft: Draft) -> None:
    name, values = draft.rng.choice(
        (
            ("id", (0, 1, 5, -1)),
            ("bars", ([], [0], [1, 1], [3], [2, 3], [99], [-1])),
            ("autoregressive", (True, False)),
            ("ignore", (True, False)),
            ("mask_bars", ([0], [0, 0], [3], [-1], [50], [])),
        )
    )
    draft.some_prompt()[name] = draft.rng.choice(values)


def _missing(draft: Draft) -> None:
    request, prompt = draft.request, draft.some_prompt()
    draft.rng.choice(
        (
            lambda: prompt.pop("id", None),
            lambda: prompt.pop("bars", None),
            lambda: request.pop("tracks"),
            lambda: request.pop("config"),
            lambda: request.update(tracks=request["tracks"][:-1]),
            lambda: request.update(tracks=[]),
            lambda: request["tracks"].append(dict(prompt)),
        )
    )()


def _score(draft: Draft) -> None:
    tracks, rng = draft.score["tracks"], draft.rng
    bars = rng.choice(tracks)["bars"]
    rng.choice(
        (
            tracks.clear,
            bars.clear,
            bars.pop,
            lambda: [track["bars"].__delitem__(slice(3, None)) for track in tracks],
            lambda: rng.choice(bars).update(ts=rng.choice(([5, 7], [19, 4], [3, 4]))),
            lambda: rng.choice(bars).update(future=True),
        )
    )()


def _wrong_setting(draft: Draft) -> None:
    names = ("temperature", "top_p", "ar_overlap", "max_attempts", "budget_margin")
    draft.request["config"][draft.rng.choice(names)] = draft.rng.choice(("much", None, [1]))


def _wrong_member(draft: Draft) -> None:
    name, value = draft.rng.choice(
        (("bars", None), ("bars", 3), ("mask_bars", 1), ("bar_attributes", {"first": {}}))
    )
    draft.some_prompt()[name] = value


def _wrong_level(draft: Draft) -> None:
    prompt = draft.some_prompt()
    kind = draft.score["tracks"][prompt["id"]]["track_type"]
    names = draft.able.attributes_for("track", kind)
    if names:
        level = draft.rng.choice(("3", "x", None, 2.0))
        prompt["attributes"] = {draft.rng.choice(names): level}


def _wrong_control(draft: Draft) -> None:
    name, value = draft.rng.choice(
        (
            ("pitch_mask", {"pitches": ["x"]}),
            ("rhythm_mask", {"positions": [{"polyphony": 1}]}),
            ("rhythm_mask", {"positions": 3}),
            *(("time_signature", wrong) for wrong in ("1", "x", None, [1], 2.0)),
        )
    )
    if draft.able.meters or name != "time_signature":
        draft.some_prompt()["controls"] = {name: value}


_WAYS = (
    *(_setting, _setting, _setting, _piece, _control, _control, _bar_control, _attribute),
    *(_bar_attribute, _prompt_member, _prompt_member, _missing, _score),
)
_MALFORMED = (_wrong_setting, _wrong_member, _wrong_level, _wrong_control)
