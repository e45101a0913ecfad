"""MIDI-GPT: multitrack symbolic music, written by a transformer.

The score model lives here; generation is in :mod:`midigpt.inference`, the HTTP service in
:mod:`midigpt.server`.
"""

from midigpt.score import Bar, Note, Score, Track

__all__ = ["Bar", "Note", "Score", "Track", "__version__"]

__version__ = "0.1.0"
