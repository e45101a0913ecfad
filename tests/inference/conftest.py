from functools import partial

import pytest
import torch

from midigpt import Bar, Note, Score, Track
from midigpt.inference import InferenceEngine
from midigpt.inference.language import Language
from midigpt.model import GPT2Config, GPT2LMHeadModel, PlainDecoder
from midigpt.tokens import EncoderConfig, Tokenizer
from tests.inference.scripts import play

ENCODER = {
    "resolution": 12,
    "decode_resolution": 1920,
    "supports_infill": True,
    "num_bars_map": [2, 4],
    "time_signatures": ["4/4", "3/4"],
}


@pytest.fixture(scope="session")
def tokenizer():
    """A small encoder without attributes."""
    return Tokenizer(EncoderConfig.parse(ENCODER))


@pytest.fixture(scope="session")
def vocabulary(tokenizer):
    return tokenizer.vocabulary


@pytest.fixture
def token(vocabulary):
    """Spell a token: ``token("NoteOnset", 60)``."""
    return lambda type_, value=0: vocabulary.encode(type_, value)


def random_engine(encoder=ENCODER, context=512, seed=0):
    """An engine with a small network of random weights."""
    torch.manual_seed(seed)
    language = Language.of(encoder)
    config = GPT2Config(len(language.tokenizer.vocabulary), context, 32, 2, 4)
    return InferenceEngine(language, PlainDecoder(GPT2LMHeadModel(config).eval()))


@pytest.fixture(scope="session")
def engine():
    return random_engine()


@pytest.fixture(scope="session")
def levelled():
    """An engine whose encoder has attributes of tracks and of bars."""
    attributes = [
        {"name": "polyphony_quantile", "params": {"mode": "max"}},
        {"name": "polyphony_quantile", "params": {"mode": "max", "level": "bar"}},
        {"name": "note_density_quantile"},
        {"name": "nomml"},
        {"name": "pitch_class_set"},
    ]
    return random_engine(ENCODER | {"attribute_controls": attributes})


@pytest.fixture
def stage(monkeypatch):
    """What a session offers when it has sampled the given words."""
    return partial(play, monkeypatch)


@pytest.fixture
def score():
    """Two tracks of four bars, one note on each beat."""

    def bar(pitch):
        return Bar([Note(pitch, 61, 480 * beat + 7, 400) for beat in range(4)])

    return Score(
        [
            Track([bar(60), bar(62), bar(64), bar(65)]),
            Track([bar(36) for _ in range(4)], track_type="drum"),
        ],
        resolution=480,
        tempo=400_000,
    )
