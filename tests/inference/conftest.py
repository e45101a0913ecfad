import pytest

from midigpt.tokens import EncoderConfig, Tokenizer

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
