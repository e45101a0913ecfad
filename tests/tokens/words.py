"""Token streams in readable form, for the tests of this folder."""

from midigpt.tokens import EncoderConfig, Tokenizer

SMALL = {
    "resolution": 12,
    "decode_resolution": 480,
    "supports_infill": True,
    "time_signatures": ["4/4", "3/4"],
}


def tokenizer(analyzer=None, **config):
    """A tokenizer on a grid of 12 that knows two meters, changed by ``config``."""
    return Tokenizer(EncoderConfig.parse(SMALL | config), analyzer)


def say(vocabulary, tokens):
    """``"Bar TimeSig:1 BarEnd"`` for token ids; a value of 0 is left out."""
    words = map(vocabulary.decode, tokens)
    return " ".join(f"{type_}:{value}" if value else type_ for type_, value in words)


def hear(vocabulary, words):
    """Inverse of :func:`say`."""
    pairs = (word.partition(":") for word in words.split())
    return [vocabulary.encode(type_, int(value or 0)) for type_, _, value in pairs]
