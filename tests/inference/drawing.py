"""Random scores and requests that any checkpoint should be able to carry out."""

from midigpt import Bar, Note, Score, Track

UNITS = ["whole", "half", "quarter", "eighth", "sixteenth", "eighth_triplet"]


def draw_score(random, meters):
    """One to five tracks of 4 to 12 bars, some empty, in one meter or in many."""
    count = random.choice([4, 5, 8, 9, 12])
    timeline = [random.choice(meters) for _ in range(count)]
    if random.random() < 0.6:
        timeline = timeline[:1] * count
    resolution = random.choice([12, 96, 480, 1920])
    tracks = [
        Track(
            draw_bars(random, timeline, resolution, random.choice([0, 0, 1, 3, 8])),
            random.randrange(128),
            random.choice(["melodic", "melodic", "drum"]),
        )
        for _ in range(random.randint(1, 5))
    ]
    return Score(tracks, resolution, random.randrange(200_000, 900_000))


def draw_bars(random, timeline, resolution, density):
    bars = []
    for numerator, denominator in timeline:
        length = max(1, 4 * numerator * resolution // denominator)
        notes = [
            Note(
                random.randrange(128),
                random.randrange(128),
                random.randrange(length),
                random.randrange(1, 2 * resolution),
            )
            for _ in range(random.randint(0, density))
        ]
        bars.append(Bar(notes, numerator, denominator))
    return bars


def draw_request(random, score, language):
    """A request with any of the controls; it always asks for at least one bar."""
    prompts = [
        draw_prompt(random, index, track, language.analyzer)
        for index, track in enumerate(score.tracks)
    ]
    if not any(p["bars"] or p.get("autoregressive") for p in prompts):
        prompts[0] = {"id": 0, "bars": [0]}
    alone = any({"remix", "rhythm_mask"} & p.get("controls", {}).keys() for p in prompts)
    config = {
        "seed": random.randrange(10**6),
        "temperature": random.choice([0.5, 1.0, 1.0, 3.0]),
        "model_dim": random.choice([4, "auto"]),
        "bars_per_step": random.choice([1, 1, 2, "auto"]),
        "tracks_per_step": 1 if alone else random.choice([1, 2, "auto"]),
        "context": random.choice(["auto", "auto", "listed", "all"]),
        "mask_mode": random.choice(["auto", "attention", "attention_skip", "remove"]),
        "top_k": random.choice([0, 0, 5]),
        "top_p": random.choice([1.0, 0.9]),
        "mask_k": random.choice([0, 0, 1]),
        "polyphony_hard_limit": random.choice([0, 0, 2]),
        "density_hard_limit": random.choice([0, 0, 1, 4]),
        "shuffle": random.random() < 0.2,
        "batch_attempts": random.random() < 0.2,
        "infill_probability": random.choice([1.0, 0.5]),
        "num_candidates": random.choice([1, 1, 1, 2, 3]),
    }
    return {
        "tracks": prompts,
        "config": config,
        "controls": draw_piece_controls(random, language.tokenizer),
    }


def draw_prompt(random, index, track, analyzer):
    bars = range(len(track.bars))
    prompt = {"id": index, "bars": []}
    kind = random.choice(["infill", "infill", "continue", "whole", "context", "ignore"])
    if kind == "ignore":
        return prompt | {"ignore": True}
    if kind == "infill":
        prompt["bars"] = sorted(random.sample(bars, random.randint(1, len(bars))))
    elif kind == "continue":
        prompt |= {"bars": list(bars[random.choice(bars) :]), "autoregressive": True}
    elif kind == "whole":
        prompt["autoregressive"] = True
    others = [] if kind == "whole" else [bar for bar in bars if bar not in prompt["bars"]]
    if others and random.random() < 0.2:
        prompt["mask_bars"] = random.sample(others, random.randint(1, len(others)))
    if random.random() < 0.3:
        prompt["attributes"] = draw_level(random, analyzer, track, "track")
    if kind != "context" and random.random() < 0.3:
        targets = prompt["bars"] or list(bars)
        prompt["bar_attributes"] = {
            str(bar): draw_level(random, analyzer, track, "bar")
            for bar in random.sample(targets, random.randint(1, len(targets)))
        }
    controls = draw_controls(random)
    return prompt | ({"controls": controls} if controls else {})


def draw_level(random, analyzer, track, level):
    """The level of one attribute of a track or a bar, if the checkpoint has any for it."""
    fit = [a for a in analyzer.attributes if a.level == level and a.applies_to(track)]
    return {a.name: random.randrange(a.size) for a in random.sample(fit, min(1, len(fit)))}


def draw_piece_controls(random, tokenizer):
    config = tokenizer.config
    controls = {}
    if config.switchable_velocity and random.random() < 0.5:
        controls["velocity"] = random.random() < 0.5
    if config.switchable_microtiming and random.random() < 0.5:
        controls["microtiming"] = random.random() < 0.5
    if config.genre_groups and random.random() < 0.5:
        controls["genre"] = random.choice([*config.genre_groups])
    return controls


def draw_controls(random):
    kind = random.choice(["scale", "pitch", "rhythm", "grid", "remix", *["none"] * 7])
    if kind == "scale":
        scale = random.choice(["major", "blues"])
        return {"pitch_mask": {"scale": scale, "root": random.randrange(12)}}
    if kind == "pitch":
        shape = {"type": "normal", "mean": 60, "std": 9}
        return {"pitch_mask": {"pitches": [random.randrange(40, 80)], "shape": shape}}
    if kind == "rhythm":
        positions = [0, *sorted(random.sample(range(1, 48), 3))]
        chords = [{"pos": pos, "polyphony": random.randint(1, 3)} for pos in positions]
        return {"rhythm_mask": {"positions": chords}}
    if kind == "grid":
        return {"rhythm_mask": {"grid": {"unit": random.choice(UNITS), "strength": 1}}}
    if kind == "remix":
        mode = random.choice(["pitch", "full"])
        return {"remix": {"amount": random.uniform(0.1, 1), "mode": mode}}
    return {}
