"""What a run tells while it runs."""

import pytest

from midigpt.inference import GenerationRequest, events
from midigpt.inference.row import Status


@pytest.fixture
def session(engine, score):
    tracks = [{"id": 0, "bars": [1, 2]}, {"id": 1, "bars": [], "mask_bars": [3]}]
    config = {"model_dim": 4, "seed": 7}
    return engine.session(score, GenerationRequest.from_dict({"tracks": tracks, "config": config}))


@pytest.fixture
def every_token(monkeypatch):
    """Look for new notes after every token."""
    monkeypatch.setattr(events, "INTERVAL", -1.0)


def written(score, track=0):
    """The written notes, sorted: a later prompt tells a chord from its lowest note."""
    return sorted(
        (track, b, note.pitch, note.onset_ticks, note.duration_ticks, note.velocity)
        for b in (1, 2)
        for note in score.tracks[track].bars[b].notes
    )


def told(notes):
    names = ("track", "bar", "pitch", "onset_ticks", "duration_ticks", "velocity")
    return [tuple(note[name] for name in names) for note in notes]


@pytest.mark.usefixtures("every_token")
def test_all_notes_are_told_one_by_one_and_once(session):
    batches = []
    session.note_sink = batches.append
    result = session.run()
    assert [len(batch) for batch in batches] == [1] * len(batches)
    assert sorted(note for batch in batches for note in told(batch)) == written(result)


def test_notes_are_told_at_the_latest_when_the_attempt_ends(session, monkeypatch):
    monkeypatch.setattr(events, "INTERVAL", 1e9)
    batches = []
    session.note_sink = batches.append
    result = session.run()
    assert sorted(note for batch in batches for note in told(batch)) == written(result)
    # the first look is always due, then one is taken at the end of each of the two steps
    assert len(batches) == 3


@pytest.mark.usefixtures("every_token")
def test_telling_changes_nothing(session):
    silent = session.run()
    session.note_sink = lambda _: None
    session.progress_sink = lambda: None
    assert session.run() == silent


def test_progress_is_told_every_32_tokens(session):
    at = []
    session.progress_sink = lambda: at.append(session.gen_count)
    session.run()
    assert at == list(range(32, session.gen_count + 1, 32))
    assert at


def test_a_step_that_starts_over_says_which_notes_are_void(engine, score):
    """The reference left the notes of rejected attempts standing (Q-19)."""
    note = {"pitches": [62]}
    remix = {"pitch_mask": note, "remix": {"amount": 0.1}}
    tracks = [{"id": 0, "bars": [1], "controls": remix}, {"id": 1, "bars": []}]
    config = {"model_dim": 4, "seed": 7, "max_attempts": 3}
    asked = GenerationRequest.from_dict({"tracks": tracks, "config": config})
    session = engine.session(score, asked)
    story = []
    session.note_sink = lambda notes: story.append(("notes", len(notes)))
    session.retry_sink = lambda attempt, bars: story.append((attempt, bars))
    with pytest.raises(RuntimeError):
        session.run()
    heard = [event for event in story if event[0] != "notes"]
    assert heard == [(2, {0: [1]}), (3, {0: [1]})]
    assert story[0][0] == story[-1][0] == "notes"


def test_the_first_prompt_is_described_once(session):
    described = []
    session.prompt_state_sink = described.append
    session.run()
    assert described == [
        {
            "start_bar": 0,
            "end_bar": 4,
            "tracks": [
                {"id": 0, "is_agent": False, "states": ["C", "T", "C", "C"]},
                {"id": 1, "is_agent": False, "states": ["C", "C", "C", "A"]},
            ],
        }
    ]


def test_a_broken_description_does_not_stop_the_music(session, caplog):
    def broken(_):
        raise ZeroDivisionError

    session.prompt_state_sink = broken
    assert session.run().tracks
    assert "prompt state sink" in caplog.text


def test_other_sinks_may_stop_it(session):
    def broken(_):
        raise ZeroDivisionError

    session.note_sink = broken
    with pytest.raises(ZeroDivisionError):
        session.run()


def test_attempts_are_told_when_they_have_ended(session):
    ended = []
    session.attempt_sink = lambda step, row: ended.append((sorted(step.targets), row.status))
    session.run()
    assert ended == [([(0, 1)], Status.COMPLETE), ([(0, 2)], Status.COMPLETE)]


@pytest.mark.usefixtures("every_token")
def test_a_continuation_tells_its_bars(engine, score):
    tracks = [{"id": 0, "bars": [2, 3], "autoregressive": True}, {"id": 1, "bars": []}]
    config = {"model_dim": 4, "seed": 7}
    session = engine.session(
        score, GenerationRequest.from_dict({"tracks": tracks, "config": config})
    )
    notes = []
    session.note_sink = notes.extend
    result = session.run()
    assert told(notes) == [
        (0, b, n.pitch, n.onset_ticks, n.duration_ticks, n.velocity)
        for b in (2, 3)
        for n in result.tracks[0].bars[b].notes
    ]
