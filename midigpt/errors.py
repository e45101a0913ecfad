"""Every exception this package raises on purpose.

::

    MidiGPTError
    ├── MidiFileError            not a readable MIDI file, or a score no MIDI file can hold
    ├── EncoderConfigError       an encoder config that makes no sense
    ├── EncodingError            a score or token sequence the encoder has no words for
    ├── CheckpointError          a checkpoint that is missing, damaged or inconsistent
    ├── DeviceError              a device that is not there
    ├── RequestValidationError   a generation request that cannot be carried out
    ├── GenerationError          a generation that failed
    └── GenerationCancelled      a generation that was told to stop

The second base of each is the built-in exception that callers of the reference implementation
catch. Messages are one line, name the offending member or file, and say what is accepted.
"""

from __future__ import annotations

from typing import Any


class MidiGPTError(Exception):
    """Base of all exceptions of this package."""


class MidiFileError(MidiGPTError, RuntimeError):
    """Not a readable MIDI file, or a score that no MIDI file can hold."""


class EncoderConfigError(MidiGPTError, RuntimeError, ValueError):
    """An encoder config with an unknown name, a wrong type or an impossible number."""


class EncodingError(MidiGPTError, RuntimeError, ValueError):
    """A score that the encoder has no tokens for, or tokens outside its vocabulary."""


class CheckpointError(MidiGPTError, ValueError):
    """A checkpoint that is missing, damaged, or inconsistent with itself."""


class DeviceError(MidiGPTError, RuntimeError):
    """A device that was asked for by name and is not there."""


class RequestValidationError(MidiGPTError, ValueError):
    """A well-formed generation request that cannot be carried out."""


class GenerationError(MidiGPTError, RuntimeError):
    """A generation that failed after it began."""


class GenerationCancelled(MidiGPTError):  # noqa: N818 - its name in the public interface
    """A generation that was told to stop.

    Attributes:
        partial: the score with everything written so far, None if that is nothing; bars not reached
            hold what was sent. For several candidates it is the whole list of them; the ``error``
            of those that had not finished is ``"cancelled"``.
        gen_count: tokens sampled.
    """

    def __init__(self, partial: Any, gen_count: int) -> None:  # noqa: ANN401 - as just said
        super().__init__(f"cancelled after {gen_count} tokens")
        self.partial = partial
        self.gen_count = gen_count
