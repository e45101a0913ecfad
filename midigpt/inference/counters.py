"""What a run has used so far."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """What a run has used so far, in seconds and tokens.

    Attributes:
        forward_s: time in the network.
        encode_s: time spent on prompts.
        decode_s: time spent on turning tokens into scores.
        sampled: tokens sampled, in all rows and attempts.
        prompt_tokens: length of the current prompt.
        prompt_read: prompt tokens the network read, in all prompts.
        prompt_reused: prompt tokens it need not read, because the decoder still held them.
        peak_tokens: the longest prompt together with what was sampled after it.
        attempt: the attempt in progress, from 1.
        attempt_start: ``sampled`` when it began.
    """

    forward_s: float = 0.0
    encode_s: float = 0.0
    decode_s: float = 0.0
    sampled: int = 0
    prompt_tokens: int = 0
    prompt_read: int = 0
    prompt_reused: int = 0
    peak_tokens: int = 0
    attempt: int = 0
    attempt_start: int = 0


class Counted:
    """What a run, or the last one, has used so far; may be asked from any thread."""

    def __init__(self) -> None:
        self._counters = Counters()

    @property
    def gen_count(self) -> int:
        """Tokens sampled in the run so far: all steps, all attempts, all rows."""
        return self._counters.sampled

    @property
    def attempt(self) -> int:
        """The attempt in progress, from 1."""
        return self._counters.attempt

    @property
    def context_len(self) -> int:
        """Tokens in the prompt of the current step."""
        return self._counters.prompt_tokens

    @property
    def prompt_tokens_read(self) -> int:
        """Prompt tokens of the run that the network read: all steps, all candidates."""
        return self._counters.prompt_read

    @property
    def prompt_tokens_reused(self) -> int:
        """Prompt tokens of the run that it need not read, because its decoder still held them."""
        return self._counters.prompt_reused

    @property
    def step_gen_start(self) -> int:
        """``gen_count`` when the attempt in progress began."""
        return self._counters.attempt_start

    def window_tokens(self) -> int:
        """The prompt of the current step together with what was sampled after it."""
        return self.context_len + self.gen_count - self.step_gen_start

    def peak_window_tokens(self) -> int:
        """The longest prompt of the run together with what was sampled after it."""
        return self._counters.peak_tokens

    @property
    def model_forward_time(self) -> float:
        """Seconds of the run spent in the network."""
        return self._counters.forward_s

    @property
    def encode_time(self) -> float:
        """Seconds of the run spent on writing prompts."""
        return self._counters.encode_s

    @property
    def decode_time(self) -> float:
        """Seconds of the run spent on turning tokens into scores."""
        return self._counters.decode_s
