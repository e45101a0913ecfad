"""What the reference implementation gets wrong in prompts (numbers of its defects)."""

from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from midigpt.model import sampling
from tests.inference.conftest import random_engine
from tests.inference.scripts import BAR
from tests.inference.sessions import WHOLE, asked, song


def bars_of(prompt, track):
    """The bars of a track of a prompt, each as a dictionary of its tokens."""
    places = [i for i, (type_, _) in enumerate(prompt) if type_ == "Track"]
    words = prompt[places[track] : [*places, len(prompt)][track + 1]]
    starts = [i for i, (type_, _) in enumerate(words) if type_ == "Bar"]
    return [dict(words[start:end]) for start, end in pairwise([*starts, len(words)])]


class TestQ03:
    """Levels of bars are looked up, and kept, by the place of the bar in the piece."""

    LEVEL = "BarLevelOnsetPolyphonyMax"

    def test_a_level_asked_of_a_bar_is_in_the_prompt_of_its_window(self, levelled, stage):
        fill = {"id": 0, "bars": [6], "bar_attributes": {"6": {"bar_max_polyphony": 7}}}
        score = song("melodic", bars=8)
        score.tracks[0].bars[5].notes *= 4
        (prompt,) = stage(asked(levelled, score, fill, bars_per_step=1)).prompts
        assert [bar[self.LEVEL] for bar in bars_of(prompt, 0)] == [0, 3, 7, 0]

    def test_what_the_model_wrote_is_kept_for_later_windows(self, levelled, stage):
        """Its bars 0 to 3 are shown again, after it wrote bars 4 to 7 in a window of their own."""
        tracks = [{"id": 0} | WHOLE, {"id": 1, "bars": [1]}]

        def bars(*levels):
            yield from (word for n in levels for word in (BAR[0], f"{self.LEVEL} {n}", *BAR[1:]))
            yield "TrackEnd"

        session = asked(levelled, song("melodic", "melodic", bars=8), *tracks, bars_per_step=2)
        scene = stage(session, *bars(1, 2, 3, 4), *bars(5, 6), *bars(7, 8))

        first, second, third, fill = scene.prompts
        assert bars_of(first, 1) == []
        assert [bar[self.LEVEL] for bar in bars_of(second, 1)] == [3, 4]
        assert [bar[self.LEVEL] for bar in bars_of(third, 1)] == [5, 6]
        assert [bar[self.LEVEL] for bar in bars_of(fill, 0)] == [1, 2, 3, 4]


@pytest.mark.parametrize("mode", ["attention", "attention_approx", "attention_skip"])
@pytest.mark.parametrize(
    "tracks",
    [
        [{"id": 0, "bars": [1]}, {"id": 1, "bars": [], "mask_bars": [0, 2]}],
        [
            {"id": 0, "bars": [2, 3], "autoregressive": True, "mask_bars": [1]},
            {"id": 1, "bars": []},
        ],
    ],
    ids=["in the middle", "at the end"],
)
def test_q04_q05_hidden_bars_are_hidden_and_leave_all_positions_as_they_are(
    score, tracks, mode, monkeypatch
):
    """The logits are those of one pass over all tokens with the hidden ones masked."""
    engine = random_engine()
    network = engine.decoder._model
    seen = []
    original = sampling.probabilities
    monkeypatch.setattr(
        sampling, "probabilities", lambda *args: seen.append(args[0][0]) or original(*args)
    )
    session = asked(engine, score, *tracks, mask_mode=mode, top_k=1, density_hard_limit=2)
    attempts = []
    session.attempt_sink = lambda _, row: attempts.append(row)
    session.run()

    (row,) = attempts
    tokens = [*row.prompt.tokens, *row.tokens]
    visible = torch.ones(len(tokens), dtype=torch.bool)
    for start, end in row.prompt.hidden:
        visible[start:end] = False
    assert not visible.all()
    whole, _ = network(torch.tensor([tokens]), key_mask=visible)
    first = len(row.prompt.tokens) - 1
    assert_close(torch.stack(seen[1:]), whole[0, first + 1 : -1].detach())
    if visible[first]:
        assert_close(seen[0], whole[0, first].detach())


def test_pitch_class_sets_are_not_in_prompts(levelled, stage):
    """No published model has seen them there (Q2 of the tokenizer); validation says so."""
    fill = {"id": 0, "bars": [1], "bar_attributes": {"1": {"pitch_class_set": 3}}}
    session = asked(levelled, song("melodic"), fill)
    (prompt,) = stage(session).prompts
    assert "BarLevelOnsetPolyphonyMax" in dict(prompt)
    assert "BarLevelPitchClassSet" not in dict(prompt)
    assert "pitch_class_set" in session.warnings[0]
