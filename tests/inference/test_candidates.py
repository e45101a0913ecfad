"""Candidates side by side, and attempts side by side."""

import pytest

from midigpt.inference import run
from tests.inference.sessions import CONTEXT, INFILL, asked


def test_each_is_a_single_run_with_its_seed(engine, score):
    """The batches of the reference were neither judged nor retried like single runs."""
    config = {"temperature": 1.5, "max_attempts": 4}
    session = asked(engine, score, INFILL, CONTEXT, num_candidates=3, **config)

    candidates = session.run_variations()

    assert [c["seed"] for c in candidates] == [7, 8, 9]
    for candidate in candidates:
        alone = asked(engine, score, INFILL, CONTEXT, seed=candidate["seed"], **config)
        assert alone.run() == candidate["score"]
        assert alone.gen_count == candidate["gen_count"]
        assert candidate["error"] is None
        assert candidate["truncated"] is False
    assert session.gen_count == sum(c["gen_count"] for c in candidates)


def test_one_that_fails_does_not_touch_the_others(engine, score, monkeypatch):
    one_bar = INFILL | {"bars": [1]}
    alone = {seed: asked(engine, score, one_bar, CONTEXT, seed=seed).run() for seed in (7, 8, 9)}
    notes = [note.pitch for note in alone[8].tracks[0].bars[1].notes]
    monkeypatch.setattr(
        run,
        "rejections",
        lambda _, after, __: ["taste"] if [n.pitch for n in after[0, 1].notes] == notes else [],
    )
    session = asked(engine, score, one_bar, CONTEXT, num_candidates=3, max_attempts=1)

    candidates = session.run_variations()

    assert [c["score"] for c in candidates] == [alone[7], None, alone[9]]
    assert [c["error"] and "taste 1x" in c["error"] for c in candidates] == [None, True, None]


class TestAttemptsSideBySide:
    """They are judged in order, so the music is that of attempts one after the other."""

    @pytest.fixture(autouse=True)
    def _picky(self, monkeypatch):
        """Reject whatever has an odd number of notes."""
        monkeypatch.setattr(
            run,
            "rejections",
            lambda _, after, __: ["taste" for bar in after.values() if len(bar.notes) % 2],
        )

    @pytest.mark.parametrize("seed", range(4))
    def test_the_result_is_the_same(self, engine, score, seed):
        config = {"seed": seed, "max_attempts": 20, "temperature_escalation": 1.01}
        one_by_one = asked(engine, score, INFILL, CONTEXT, **config)
        together = asked(engine, score, INFILL, CONTEXT, batch_attempts=True, **config)
        assert one_by_one.run() == together.run()
        assert one_by_one.attempt == together.attempt
        assert one_by_one.gen_count <= together.gen_count

    def test_only_so_many_at_a_time(self, engine, score):
        batches = []
        step = engine.decoder.step
        session = asked(engine, score, INFILL, CONTEXT, batch_attempts=True, max_attempts=100)
        try:
            engine.decoder.step = lambda rows, tokens: (
                batches.append(len(rows)) or step(rows, tokens)
            )
            session.run()
        finally:
            engine.decoder.step = step
        assert max(batches) == 8

    def test_notes_are_told_of_one_attempt_after_the_other(self, engine, score):
        config = {"batch_attempts": True, "max_attempts": 20, "seed": 1}
        session = asked(engine, score, INFILL, CONTEXT, **config)
        heard = []
        session.note_sink = heard.extend
        session.retry_sink = lambda _, bars: heard.__setitem__(
            slice(None), [note for note in heard if note["bar"] not in bars[0]]
        )
        result = session.run()
        notes = [(b, n.pitch) for b in (1, 2) for n in result.tracks[0].bars[b].notes]
        assert sorted((note["bar"], note["pitch"]) for note in heard) == sorted(notes)
