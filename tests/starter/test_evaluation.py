"""The figures in the card: what is asked, and how the answers are measured."""

from math import isclose

import pytest
from composer import Key
from contest import Tally, by_composer, by_copying, contest, judge
from measures import in_key, onset_distance, range_distance, rank_correlation, repeats
from trials import UNHEARD, anything, controls, infills

from midigpt import Bar, Note


def bar(*notes):
    return Bar([Note(pitch, 90, onset, 6) for onset, pitch in notes])


def test_notes_in_the_key():
    assert in_key(bar((0, 60), (6, 61), (12, 71)).notes, Key(0, "major")) == [True, False, True]


def test_distance_of_pitch_ranges():
    assert range_distance([bar((0, 60), (6, 72))], [bar((0, 62)), bar((0, 76))]) == 3
    assert range_distance([bar()], [bar((0, 60))]) is None


def test_distance_of_onsets():
    assert onset_distance([bar((0, 60), (12, 60))], [bar((0, 50), (12, 50))]) == 0
    assert onset_distance([bar((0, 60), (12, 60))], [bar((0, 50), (24, 50))]) == 0.5
    assert onset_distance([bar((0, 60))], [bar((24, 50))]) == 1


def test_a_repeated_bar_has_the_same_notes_at_the_same_places():
    assert repeats(bar((0, 60), (6, 62)), [bar(), bar((6, 62), (0, 60))])
    assert not repeats(bar((0, 60), (6, 62)), [bar((0, 60), (6, 64))])


def test_rank_correlation():
    assert isclose(rank_correlation([(0, 3), (1, 5), (2, 9)]), 1)
    assert isclose(rank_correlation([(0, 9), (1, 5), (2, 3)]), -1)
    assert rank_correlation([(0, 4), (1, 4)]) == 0
    # ranks 1.5 1.5 3 4 against 1 2 3.5 3.5
    assert isclose(rank_correlation([(0, 0), (0, 1), (1, 2), (2, 2)]), 5 / 6, abs_tol=0.06)


def test_infills_are_of_bars_that_have_neighbours():
    for trial in infills(10):
        ((t, _), *_) = trial.cells
        assert all(not trial.sent.tracks[t].bars[b].notes for _, b in trial.cells)
        assert all(trial.truth.tracks[t].bars[b].notes for b in range(8))
        assert len(trial.cells) <= 4
        assert not any(prompt.attributes for prompt in trial.request.tracks)


def test_every_level_is_asked_for_equally_often(language):
    trials = list(controls(1, language))
    sizes = language.analyzer.attribute_sizes()
    assert [t.wanted for t in trials] == [(n, v) for n in sizes for v in range(sizes[n])]
    for trial in trials:
        ((t, _), *_) = trial.cells
        name, level = trial.wanted
        assert trial.request.tracks[t].attributes[name] == level
        assert not any(b.notes for b in trial.sent.tracks[t].bars)


def test_requests_of_all_sorts():
    from corpus import TRAINING, starter_language

    trials = list(anything(30, starter_language()))
    assert any(p.autoregressive for trial in trials for p in trial.request.tracks)
    assert any(len({t for t, _ in trial.cells}) > 1 for trial in trials)
    assert not UNHEARD.startswith(TRAINING)


def test_the_figures_go_between_their_marks(tmp_path, language):
    pytest.importorskip("matplotlib")
    from evaluate import BEGIN, END, figures

    tally = Tally()
    for trial in infills(3):
        judge(trial, by_composer(trial), language.analyzer, tally)
    for name in ("note_density", "min_polyphony", "max_polyphony"):
        tally.levels[name] += [(0, 0), (1, 2)]
    for name in ("min_note_duration", "max_note_duration"):
        tally.levels[name] += [(0, 3), (1, 1)]
    card = tmp_path / "card.md"
    card.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    figures(card, {"a": tally, "b": tally}, ["3 requests."])
    text = card.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"3 requests.\n\n{END}\nafter\n")
    assert "old" not in text
    assert "| notes in the key of the context | ≥ 90 % | 100.0 % | 100.0 % |" in text
    assert "| drum density: exact |  | 50 % | 50 % |" in text
    assert "| duration: within one level | ≥ 80 % | 50 % | 50 % |" in text


def test_copying_fills_with_the_nearest_bar():
    for trial in infills(5):
        ((t, first), *_) = trial.cells
        copied = by_copying(trial).score.tracks[t].bars
        source = first - 1 if first else len(trial.cells)
        assert copied[first].notes == trial.truth.tracks[t].bars[source].notes
        assert all(b.notes for b in copied)


def test_a_contest_is_the_sum_of_its_parts():
    tally = contest([*infills(12)], "the composer", by_composer, processes=1)
    assert tally.requests == 12
    assert tally.figure("in key") == 1
    assert tally.figure("silent") == 0
    assert not tally.problems


def test_a_picture_is_written(tmp_path):
    pytest.importorskip("matplotlib")
    from pictures import control, curve, rolls

    (trial,) = infills(1)
    rolls(tmp_path / "roll.png", trial.truth, trial.cells, "a title")
    control(tmp_path / "control.png", {"x": [(0, 1), (1, 1)]})
    curve(tmp_path / "curve.png", [1, 2], {"loss": [2.0, 1.0]})
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in tmp_path.iterdir())
