"""Scores as tokens and back."""

from midigpt.tokens.config import EncoderConfig
from midigpt.tokens.encode import Encoded, EncodeOptions
from midigpt.tokens.genres import Genres
from midigpt.tokens.tokenizer import Analyzer, Tokenizer
from midigpt.tokens.vocabulary import Domain, Vocabulary

__all__ = [
    "Analyzer",
    "Domain",
    "EncodeOptions",
    "Encoded",
    "EncoderConfig",
    "Genres",
    "Tokenizer",
    "Vocabulary",
]
