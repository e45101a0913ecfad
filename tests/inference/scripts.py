"""Sessions in which nothing is left to chance: what is sampled is what the script says."""

from typing import NamedTuple

import pytest

from midigpt.model import sampling

NOTE = ("NoteOnset 72", "NoteDuration 3")
BAR = ("Bar", "TimeSig 0", *NOTE, "BarEnd")
FILL = (*NOTE, "FillInEnd")


class Over(Exception):  # noqa: N818 - not an error
    """The script is over; holds what could be sampled next."""


class Scene(NamedTuple):
    """How things stand when a script is over.

    ``prompts`` are the prompts so far, as (type, value) pairs; ``offered`` the values, by token
    type, that could be sampled next.
    """

    prompts: list[list[tuple[str, int]]]
    offered: dict[str, list[int]]


def follow(monkeypatch, session, words):
    """Make the session sample the tokens of a script; the prompts it is given."""
    vocabulary = session._engine.language.tokenizer.vocabulary
    script = iter(words)
    prompts = []
    prefill = session._engine.decoder.prefill

    def shown(row, tokens, *rest):
        prompts.append([vocabulary.decode(token) for token in tokens])
        return prefill(row, tokens, *rest)

    def draw(probs, _):
        for word in script:
            type_, *value = word.split()
            token = vocabulary.encode(type_, int(*value))
            assert probs[0, token] > 0, f"{word} may not be sampled"
            return [token]
        offered = {}
        for token in probs[0].nonzero()[:, 0].tolist():
            type_, value = vocabulary.decode(token)
            offered.setdefault(type_, []).append(value)
        raise Over(offered)

    monkeypatch.setattr(session._engine.decoder, "prefill", shown)
    monkeypatch.setattr(sampling, "draw", draw)
    return prompts


def play(monkeypatch, session, *words):
    """Run a session until its script is over."""
    with monkeypatch.context() as patches:
        prompts = follow(patches, session, words)
        with pytest.raises(Over) as over:
            session.run()
    return Scene(prompts, *over.value.args)
