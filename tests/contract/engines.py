"""Engines for the recorded checkpoints."""

from functools import cache

from midigpt.inference.engine import InferenceEngine
from midigpt.inference.language import Language
from tests.contract.vectors import FOLDER, load


@cache
def engine(checkpoint):
    path = FOLDER / "inference" / "checkpoints" / f"{checkpoint}.safetensors"
    return InferenceEngine.from_checkpoint(path, device="cpu", precision="fp32")


class Unlimited:
    """A decoder for sessions that only plan."""

    context = 10**9


@cache
def planner(encoder):
    language = Language.of(load("inference/encoders.json")[encoder])
    return InferenceEngine(language, Unlimited())


def notes(bar):
    """The notes of a bar in dictionary form, without the sub-tick remainder of the decoder."""
    return [
        (n["pitch"], n["velocity"], n["onset_ticks"], n["duration_ticks"]) for n in bar["notes"]
    ]
