"""Random generation requests that make sense, and ways to spoil them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midigpt.inference.controls import GRID_UNITS, SCALES

if TYPE_CHECKING:
    from random import Random

    from tests.peer.abilities import Abilities
    from tests.peer.draw_scores import Packed

    Request = dict[str, Any]

GREEDY = {"top_k": 1, "max_attempts": 1, "novelty_check": False, "silence_check": False}
"""Settings with which a generation is a function of its logits alone."""


def draw_request(
    rng: Random,
    score: Packed,
    able: Abilities,
    *,
    calm: float,
    whole: float = 0.4,
    shaped: float = 0.3,
) -> Request:
    """A request that both sides accept.

    Args:
        rng: the source of everything random.
        score: the packed score it is about; all tracks have the same number of bars.
        able: what the checkpoint can be asked for.
        calm: probability of leaving each special wish out.
        whole: probability that a track that is continued is written from its first bar on.
        shaped: probability that a track that is written has a control.
    """
    bars = len(score["tracks"][0]["bars"])
    prompts = [_prompt(rng, t, bars, able, calm, whole) for t in range(len(score["tracks"]))]
    if not any(prompt["bars"] or prompt.get("autoregressive") for prompt in prompts):
        prompts[0] = {"id": 0, "bars": [rng.randrange(bars)] if able.infill else []}
        prompts[0] |= {} if able.infill else {"autoregressive": True}
    for prompt, track in zip(prompts, score["tracks"], strict=True):
        if not prompt.get("ignore"):
            _wish(rng, prompt, track, able, calm, shaped)
    config = _config(rng, bars, able, calm)
    if any({"remix", "rhythm_mask"} & {*p.get("controls", {})} for p in prompts):
        config["tracks_per_step"] = 1
    if rng.random() > 0.8:
        rng.shuffle(prompts)
    return {"tracks": prompts, "config": config, "controls": _piece(rng, able, calm)}


def _prompt(
    rng: Random, track: int, bars: int, able: Abilities, calm: float, whole: float
) -> Request:
    role = rng.choices(("fill", "context", "continue", "ignore"), (45, 25, 22, 8))[0]
    prompt: Request = {"id": track, "bars": []}
    if role == "fill" and able.infill:
        prompt["bars"] = sorted(rng.sample(range(bars), rng.randint(1, min(4, bars))))
    elif role in {"fill", "continue"}:
        start = 0 if rng.random() < whole else rng.randrange(1, bars)
        prompt |= {"autoregressive": True, "bars": [*range(start, bars)]}
        if start == 0 and rng.random() < 0.3:
            prompt["bars"] = []
    elif role == "ignore":
        prompt["ignore"] = True
    written = prompt["bars"] or (range(bars) if prompt.get("autoregressive") else ())
    rest = sorted({*range(bars)} - {*written})
    if rest and role != "ignore" and rng.random() > calm:
        prompt["mask_bars"] = sorted(rng.sample(rest, rng.randint(1, min(3, len(rest)))))
    return prompt


def _wish(
    rng: Random, prompt: Request, track: Packed, able: Abilities, calm: float, shaped: float
) -> None:
    """Add attributes and controls to a prompt."""
    kind = track["track_type"]
    names = able.attributes_for("track", kind)
    if names and rng.random() > calm:
        chosen = rng.sample(names, rng.randint(1, min(3, len(names))))
        prompt["attributes"] = {name: rng.randrange(able.attributes[name][2]) for name in chosen}
    bars = prompt["bars"] or (
        range(len(track["bars"])) if prompt.get("autoregressive") else range(0)
    )
    names = able.attributes_for("bar", kind)
    if names and bars and rng.random() > calm:
        name, bar = rng.choice(names), rng.choice(bars)
        prompt["bar_attributes"] = {str(bar): {name: rng.randrange(able.attributes[name][2])}}
    if bars and rng.random() < shaped:
        control = rng.choice(("pitch_mask", "rhythm_mask", "remix", "time_signature"))
        if control == "time_signature":
            _wish_meter(rng, prompt, track, bars, able)
        else:
            prompt["controls"] = {control: draw_control(rng, control)}


def _wish_meter(
    rng: Random, prompt: Request, track: Packed, bars: range | list[int], able: Abilities
) -> None:
    if not able.meters:
        return
    if rng.random() < 0.5:
        prompt["controls"] = {"time_signature": rng.randrange(len(able.meters))}
        return
    bar = rng.choice(bars)
    meter = tuple(track["bars"][bar]["ts"])
    if meter in able.meters:
        prompt["bar_controls"] = {str(bar): {"time_signature": able.meters.index(meter)}}


def draw_control(rng: Random, name: str) -> dict[str, Any]:
    """A control that shapes sampling."""
    if name == "remix":
        return {"amount": round(rng.uniform(0.1, 1), 2), "mode": rng.choice(("pitch", "full"))}
    if name == "rhythm_mask":
        if rng.random() < 0.5:
            unit = rng.choice([*GRID_UNITS])
            return {"grid": {"unit": unit, "strength": rng.choice((0.5, 0.9, 1.0))}}
        ticks = [0, *sorted(rng.sample(range(1, 24), rng.randint(0, 3)))]
        return {"positions": [{"pos": tick, "polyphony": rng.randint(1, 2)} for tick in ticks]}
    shape = rng.choice(
        (
            {"type": "uniform", "min": rng.randint(0, 50), "max": rng.randint(60, 127)},
            {"type": "normal", "mean": rng.randint(40, 80), "std": rng.randint(1, 20)},
        )
    )
    mask = rng.choice(
        (
            {"pitches": rng.sample(range(128), rng.randint(1, 20))},
            {"scale": rng.choice([*SCALES]), "root": rng.randrange(24)},
            {"pitch_classes": rng.sample(range(24), rng.randint(1, 6))},
            {},
        )
    )
    # with a shape that leaves no allowed pitch both are at a loss, each in its own way
    return mask if mask and rng.random() < 0.8 else {"shape": shape}


def _config(rng: Random, bars: int, able: Abilities, calm: float) -> Request:
    sizes = [size for size in able.windows if size <= bars]
    window = rng.choice(sizes) if sizes and rng.random() < 0.7 else "auto"
    size = max(sizes, default=0) if window == "auto" else window
    config: Request = {
        "seed": rng.randrange(1000),
        "model_dim": window,
        "bars_per_step": rng.choice(("auto", *range(size + 1))),
        "tracks_per_step": rng.choice(("auto", 0, 1, 1, 2, 3)),
    }
    wishes = {
        "ar_overlap": lambda: rng.choice((0, 0.25, 0.6, 0.9)),
        "min_overlap_bars": lambda: rng.randrange(6),
        "shuffle": lambda: True,
        "infill_probability": lambda: round(rng.uniform(0.2, 1), 2),
        "polyphony_hard_limit": lambda: rng.randint(1, 4),
        "budget_margin": lambda: rng.choice((1, 2, 4)),
        "context": lambda: rng.choice(("auto", "listed", "all")),
        "mask_mode": lambda: rng.choice(
            ("attention", "remove", *(["token"] if able.masks else []))
        ),
    }
    return config | {name: wish() for name, wish in wishes.items() if rng.random() > calm}


def _piece(rng: Random, able: Abilities, calm: float) -> Request:
    wishes = {
        "velocity": able.velocity and [True, False],
        "microtiming": able.microtiming and [True, False],
        "genre": able.genres,
    }
    return {
        name: rng.choice(values)
        for name, values in wishes.items()
        if values and rng.random() > calm
    }
