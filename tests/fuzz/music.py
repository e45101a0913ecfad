"""Requests that make sense, up to the limits of what may be asked."""

from hypothesis import strategies as st

from midigpt.inference.controls import GRID_UNITS, SCALES
from midigpt.inference.request import CONTEXT_MODES, MASK_MODES

TINY = 5e-324


def number(least, most):
    """A number in a range, gladly one at its ends."""
    return st.sampled_from([least, most]) | st.floats(least, most)


def some(**members):
    """An object with any of these members."""
    return st.fixed_dictionaries({}, optional=members)


HUGE = 10**400
TICKS = st.sampled_from([0, -1, 1, 479, 480, 1920, 2**31 - 1, -(2**31) + 1]) | st.integers(0, 2000)
NOTES = st.lists(
    st.fixed_dictionaries(
        {
            "pitch": st.integers(0, 127),
            "velocity": st.integers(0, 127),
            "onset_ticks": TICKS,
            "duration_ticks": TICKS,
        },
        optional={"delta": TICKS},
    ),
    max_size=6,
)
CONFIG = some(
    model_dim=st.sampled_from(["auto", None, 0, -1]),
    temperature=number(TINY, 1e308),
    seed=st.sampled_from([None, -1, 0, 2**63 - 1]),
    max_attempts=st.integers(1, 3),
    temperature_escalation=number(1, 1e308),
    novelty_check=st.booleans(),
    novelty_threshold=number(TINY, 1),
    silence_check=st.booleans(),
    top_k=st.sampled_from([0, 1, 5, HUGE]),
    top_p=number(TINY, 1),
    polyphony_hard_limit=st.sampled_from([0, -1, 1, 2**31 - 1]),
    density_hard_limit=st.sampled_from([0, -HUGE, 1, 2**31 - 1]),
    bars_per_step=st.sampled_from([0, 1, 4, "auto"]),
    tracks_per_step=st.sampled_from([0, 1, 2, HUGE, "auto"]),
    ar_overlap=number(0, 1 - 2**-53),
    min_overlap_bars=st.sampled_from([0, 2, HUGE]),
    shuffle=st.booleans(),
    infill_probability=number(TINY, 1),
    num_candidates=st.integers(1, 3),
    batch_attempts=st.booleans(),
    plan_only=st.booleans(),
    context=st.sampled_from(CONTEXT_MODES),
    budget_margin=number(1, 1e308),
    mask_mode=st.sampled_from(MASK_MODES),
)
OBVIOUS = some(mask_k=st.sampled_from([0, 1, 3, HUGE]), mask_p=number(0, 1 - 2**-53))
PITCH_MASK = some(
    pitches=st.lists(st.integers(0, 127), min_size=1),
    root=st.sampled_from([0, -HUGE, 7]),
    shape=st.fixed_dictionaries({"type": st.just("normal")}, optional={"std": number(TINY, 1e308)})
    | st.fixed_dictionaries({"type": st.just("uniform")}, optional={"max": number(0, 1e308)}),
) | st.fixed_dictionaries({"scale": st.sampled_from(sorted(SCALES))})
RHYTHM_MASK = st.fixed_dictionaries(
    {
        "grid": st.fixed_dictionaries(
            {"unit": st.sampled_from(sorted(GRID_UNITS))}, optional={"strength": number(0, 1)}
        )
    }
) | st.sets(st.integers(1, 47)).map(
    lambda ticks: {"positions": [{"pos": tick} for tick in sorted({0, *ticks})]}
)
REMIX = st.fixed_dictionaries(
    {"amount": number(TINY, 1)}, optional={"mode": st.sampled_from(["pitch", "full"])}
)
METER = some(time_signature=st.integers(0, 1))
CONTROLS = some(pitch_mask=PITCH_MASK, rhythm_mask=RHYTHM_MASK) | some(
    pitch_mask=PITCH_MASK, remix=REMIX
)


@st.composite
def prompts(draw, track, bars, roles):
    """A prompt for a track: context, ignored, to be filled in, or to be continued."""
    role, prompt = draw(st.sampled_from(roles)), {"id": track, "bars": []}
    if role == "ignored":
        return {**prompt, "ignore": True}
    if role == "continued":
        first = draw(st.integers(0, bars - 1))
        prompt |= {"bars": [*range(first, bars)], "autoregressive": True}
    elif role == "filled":
        prompt["bars"] = sorted(draw(st.sets(st.integers(0, bars - 1), min_size=1)))
    hidden = draw(st.sets(st.integers(0, bars - 1), max_size=2)) - {*prompt["bars"]}
    return {**prompt, "mask_bars": sorted(hidden), "controls": draw(METER) | draw(CONTROLS)}


@st.composite
def requests(draw):
    """A body, most of whose members are at the end of their range."""
    bars = draw(st.sampled_from([4, 5, 8, 9]))
    meter = draw(st.sampled_from([{}, {"ts_numerator": 3}]))
    tracks = [
        {
            "bars": [{"notes": draw(NOTES), **meter} for _ in range(bars)],
            "instrument": draw(st.sampled_from([0, 127, 128, -1, 2**31 - 1])),
            "track_type": draw(st.sampled_from(["melodic", "drum"])),
        }
        for _ in range(draw(st.integers(1, 3)))
    ]
    first = draw(prompts(0, bars, ["filled", "continued"]))
    anything = ["context", "ignored", "filled", "continued"]
    others = [draw(prompts(track, bars, anything)) for track in range(1, len(tracks))]
    config = draw(CONFIG)
    if not {"top_k", "top_p"} & {*config}:
        config |= draw(OBVIOUS)
    score = {"tracks": tracks, **draw(some(resolution=st.sampled_from([1, 480, 1_000_000])))}
    body = {"score": score, "request": {"tracks": [first, *others], "config": config}}
    if "num_candidates" not in config:
        body["stream"] = draw(st.booleans())
    return body
