"""What the reference implementation gets wrong in runs and results (numbers of its defects).

Those that are not here or in the other ``test_quirks`` have their test with the module that is
concerned.
"""

import logging

import pytest
import torch

from midigpt import Bar, Note
from midigpt.errors import GenerationCancelled, GenerationError
from midigpt.model import sampling
from tests.inference.conftest import ENCODER, random_engine
from tests.inference.scripts import FILL, NOTE, follow, play
from tests.inference.sessions import CONTEXT, CONTINUE, asked, song


class TestQ14:
    """All that was not to be written comes back as it was sent, hidden bars too."""

    @pytest.mark.parametrize("mode", ["attention", "remove"])
    def test_hidden_bars(self, engine, score, mode):
        score.tracks[1].bars[0].future = True
        tracks = [{"id": 0, "bars": [1]}, {"id": 1, "bars": [], "mask_bars": [2]}]
        result = asked(engine, score, *tracks, mask_mode=mode).run()
        assert result.tracks[1].bars == score.resample(1920).tracks[1].bars
        assert result.tracks[1].bars[0].future

    def test_side_by_side_as_well(self, engine, score):
        tracks = [CONTINUE, CONTEXT]
        candidates = asked(engine, score, *tracks, num_candidates=2).run_variations()
        sent = score.resample(1920)
        for candidate in candidates:
            assert candidate["score"].tracks[0].bars[:2] == sent.tracks[0].bars[:2]
            assert candidate["score"].tracks[1] == sent.tracks[1]


class TestQ15:
    """An attempt is compared with what the step found there, at one resolution."""

    FILL = ("TimeAbsolutePos 12", *FILL)

    @pytest.mark.parametrize("resolution", [480, 1920])
    def test_a_result_is_not_new_when_it_comes_back(self, engine, score, monkeypatch, resolution):
        fill = [{"id": 0, "bars": [1]}, CONTEXT]
        session = asked(engine, score, *fill)
        follow(monkeypatch, session, self.FILL)
        written = session.run().resample(resolution)

        again = asked(engine, written, *fill, max_attempts=1)
        follow(monkeypatch, again, self.FILL)
        with pytest.raises(GenerationError, match="novelty_check"):
            again.run()

    def test_only_the_bars_of_the_step_count(self, monkeypatch):
        """Reading a bar of a later step changes it: the encoder has no word for its pitch."""
        engine, score = random_engine(ENCODER | {"pitch_range": [36, 83]}), song("melodic")
        score.tracks[0].bars[2].notes = [Note(20, 80, 0, 480)]
        session = asked(engine, score, {"id": 0, "bars": [1, 2]}, max_attempts=1)
        follow(monkeypatch, session, ["NoteOnset 24", "NoteDuration 11", "FillInEnd"])
        with pytest.raises(GenerationError, match="novelty_check"):
            session.run()

    def test_ignored_tracks_do_not_confuse_it(self, engine, monkeypatch):
        score = song("melodic", "melodic")
        score.tracks[0].bars[1].notes = [Note(50, 80, 0, 480)]
        tracks = [{"id": 0, "bars": [], "ignore": True}, {"id": 1, "bars": [1]}]
        session = asked(engine, score, *tracks, max_attempts=1)
        follow(monkeypatch, session, ["NoteOnset 60", "NoteDuration 11", "FillInEnd"])
        with pytest.raises(GenerationError, match="novelty_check"):
            session.run()

    def test_nor_is_what_was_between_the_lines_of_the_grid(self, engine, score, monkeypatch):
        again = [
            word
            for position in ("", "TimeAbsolutePos 12", "TimeAbsolutePos 24", "TimeAbsolutePos 36")
            for word in (position, "NoteOnset 62", "NoteDuration 3")
            if word
        ]
        fill = [{"id": 0, "bars": [1]}, CONTEXT]
        session = asked(engine, score, *fill, max_attempts=1)
        follow(monkeypatch, session, [*again, "FillInEnd"])
        with pytest.raises(GenerationError, match="novelty_check"):
            session.run()


@pytest.mark.parametrize("temperature", [1e-6, 1e-38, 1e-300])
def test_q17_a_tiny_temperature_is_the_argmax(temperature):
    """Also where a logit divided by it is infinite."""
    everything = torch.ones(1, 3, dtype=torch.bool)
    logits = torch.tensor([[9.0, 9.5, -20.0]])
    probs = sampling.probabilities(logits, everything, torch.tensor([[temperature]]))
    assert probs.tolist() == [[0.0, 1.0, 0.0]]


def test_q18_cancelling_while_a_prompt_is_read_leaves_its_bars_as_they_were(engine, monkeypatch):
    score = song("melodic")
    session = asked(engine, score, {"id": 0, "bars": [1, 2]})
    follow(monkeypatch, session, FILL)
    read = engine.decoder.prefill

    def prefill(row, tokens, hidden, check):
        if session.gen_count:
            session.cancel_event.set()
        return read(row, tokens, hidden, check)

    monkeypatch.setattr(engine.decoder, "prefill", prefill)
    with pytest.raises(GenerationCancelled) as cancelled:
        session.run()
    bars = cancelled.value.partial.tracks[0].bars
    assert [[note.pitch for note in bar.notes] for bar in bars] == [[60], [72], [60], [60]]


def test_q20_the_encoder_config_stays_as_it_is(engine, score):
    before = engine.language.tokenizer.config.to_dict()
    asked(engine, score, {"id": 0, "bars": [1]}, CONTEXT, model_dim=2).run()
    assert engine.language.tokenizer.config.to_dict() == before


def test_q22_a_shape_that_leaves_nothing_is_ignored(engine, score):
    """Here the rest of a remix keeps pitches that the shape rules out."""
    controls = {
        "remix": {"amount": 0.01},
        "pitch_mask": {"shape": {"type": "uniform", "min": 0, "max": 10}},
    }
    fill = {"id": 0, "bars": [1], "controls": controls}
    result = asked(engine, score, fill, CONTEXT).run()
    pitches = [note.pitch for note in result.tracks[0].bars[1].notes]
    assert len(pitches) == 4
    assert pitches.count(62) == 3
    assert min(pitches) <= 10


def test_q23_debug_logging_changes_nothing(engine, score, caplog, monkeypatch):
    from midigpt.inference import events

    monkeypatch.setattr(events, "INTERVAL", -1.0)

    def told():
        session = asked(engine, score, {"id": 0, "bars": [1]}, CONTEXT)
        story = []
        session.note_sink = lambda notes: story.append(len(notes))
        session.progress_sink = lambda: story.append("progress")
        session.run()
        return story

    quiet = told()
    caplog.set_level(logging.DEBUG)
    assert told() == quiet
    assert "progress" in quiet


def test_q24_a_continuation_without_room_ends_in_the_middle_and_says_so(score, monkeypatch):
    """Two bars were to be written; what there is of the first is kept."""
    tracks = [CONTINUE, CONTEXT]
    encoder = ENCODER | {"num_bars_map": [4]}
    prompt = play(monkeypatch, asked(random_engine(encoder), score, *tracks)).prompts[0]
    engine = random_engine(encoder, context=len(prompt) + 21)
    session = asked(engine, score, *tracks, context="all")
    follow(monkeypatch, session, ["Bar", "TimeSig 0", *NOTE * 9])

    bars = session.run().tracks[0].bars

    assert session.truncated
    assert bars[:2] == score.resample(1920).tracks[0].bars[:2]
    assert [note.pitch for note in bars[2].notes] == [72] * 9
    assert bars[3] == Bar()
