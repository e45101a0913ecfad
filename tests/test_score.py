import copy
import subprocess
import sys

import pytest

from midigpt import Bar, Note, Score, Track
from midigpt.score import meter_quarters


def a_score():
    bars = [
        Bar([Note(60, 80, 0, 480, -3), Note(64, 70, 240, 120)], 3, 4, future=True),
        Bar([], 6, 8, beat_length=2.5),
    ]
    track = Track(bars, 30, "melodic", {"note_density": 4})
    return Score([track, Track([Bar()], 0, "drum")], 480, 400_000)


class TestBar:
    @pytest.mark.parametrize(
        ("meter", "quarters"), [((4, 4), 4.0), ((3, 4), 3.0), ((6, 8), 3.0), ((5, 16), 1.25)]
    )
    def test_its_length_follows_from_the_meter(self, meter, quarters):
        assert Bar([], *meter).beat_length == quarters
        assert meter_quarters(*meter) == quarters

    def test_a_given_length_stays(self):
        assert Bar(ts_numerator=3, beat_length=4.0).beat_length == 4.0

    def test_a_meter_without_denominator_has_no_length(self):
        assert Bar(ts_denominator=0).beat_length == 0.0

    def test_bars_share_no_notes(self):
        assert Bar().notes is not Bar().notes


class TestTrack:
    @pytest.mark.parametrize(
        ("kind", "drum"), [("drum", True), ("melodic", False), ("drums", False)]
    )
    def test_is_drum(self, kind, drum):
        assert Track(track_type=kind).is_drum is drum


class TestDictionary:
    def test_defaults(self):
        assert Score.from_dict({}) == Score([], 480, 500_000)
        assert Score.from_dict({"tracks": [{"bars": [{}]}]}) == Score([Track([Bar()])])

    def test_form(self):
        assert Score([Track([Bar([Note(60, 80, 1, 2, 3)], 3, 8)], 7, "drum")]).to_dict() == {
            "resolution": 480,
            "tempo": 500_000,
            "tracks": [
                {
                    "instrument": 7,
                    "track_type": "drum",
                    "bars": [
                        {
                            "ts_numerator": 3,
                            "ts_denominator": 8,
                            "future": False,
                            "notes": [
                                {
                                    "pitch": 60,
                                    "velocity": 80,
                                    "onset_ticks": 1,
                                    "duration_ticks": 2,
                                    "delta": 3,
                                }
                            ],
                        }
                    ],
                }
            ],
        }

    def test_there_and_back(self):
        score = a_score()
        score.tracks[0].bars[1].beat_length = 3.0
        score.tracks[0].attributes = {}
        assert Score.from_dict(score.to_dict()) == score

    def test_bars_get_the_length_of_their_meter(self):
        bar = {"ts_numerator": 6, "ts_denominator": 8}
        (track,) = Score.from_dict({"tracks": [{"bars": [bar]}]}).tracks
        assert track.bars[0].beat_length == 3.0

    def test_lengths_and_attributes_are_taken_when_given(self):
        track = {"bars": [{"beat_length": 2.5}], "attributes": {"note_density": 3}}
        score = Score.from_dict({"tracks": [track]})
        assert score.tracks[0].bars[0].beat_length == 2.5
        assert score.tracks[0].attributes == {"note_density": 3}

    def test_unknown_keys_are_ignored(self):
        data = {"title": "x", "tracks": [{"name": "x", "bars": [{"number": 1}]}]}
        assert Score.from_dict(data) == Score([Track([Bar()])])

    @pytest.mark.parametrize(
        ("note", "member"),
        [
            ({"pitch": 60, "velocity": 80, "onset_ticks": 0}, "duration_ticks"),
            (
                dict.fromkeys(["pitch", "velocity", "onset_ticks", "duration_ticks", "end"], 0),
                "end",
            ),
        ],
    )
    def test_notes_have_exactly_their_keys(self, note, member):
        with pytest.raises(TypeError, match=member):
            Bar.from_dict({"notes": [note]})

    @pytest.mark.parametrize(
        "data",
        [{"tracks": None}, {"tracks": [{"bars": None}]}, {"tracks": [{"bars": [{"notes": None}]}]}],
    )
    def test_null_is_not_a_list(self, data):
        with pytest.raises(TypeError):
            Score.from_dict(data)

    def test_a_list_is_not_an_object(self):
        with pytest.raises(AttributeError):
            Score.from_dict({"tracks": [[]]})


class TestResample:
    def test_at_its_own_resolution_it_is_the_score_itself(self):
        score = a_score()
        assert score.resample(480) is score

    def test_scales_notes_and_keeps_the_rest(self):
        score = a_score()
        before = copy.deepcopy(score)
        expected = copy.deepcopy(score)
        expected.resolution = 960
        expected.tracks[0].bars[0].notes = [Note(60, 80, 0, 960, -3), Note(64, 70, 480, 240)]
        assert score.resample(960) == expected
        assert score == before

    def test_shares_nothing_with_the_score(self):
        score = a_score()
        other = score.resample(960)
        other.tracks[0].attributes["note_density"] = 9
        assert score.tracks[0].attributes == {"note_density": 4}

    def test_halves_go_to_the_even_tick_and_notes_last_at_least_one(self):
        score = Score(
            [Track([Bar([Note(60, 80, 1, 1), Note(60, 80, 3, 3), Note(60, 80, -3, 0)])])], 2
        )
        (track,) = score.resample(1).tracks
        assert track.bars[0].notes == [
            Note(60, 80, 0, 1),
            Note(60, 80, 2, 2),
            Note(60, 80, -2, 1),
        ]

    def test_from_no_resolution(self):
        with pytest.raises(ZeroDivisionError):
            Score(resolution=0).resample(480)


def test_midi_files(tmp_path):
    score = Score([Track([Bar([Note(60, 80, 0, 480)])], 5)], tempo=400_000)
    path = tmp_path / "song.mid"
    score.to_midi(path)
    assert Score.from_midi(path) == score
    assert Score.from_midi(str(path)) == score
    assert Score.from_bytes(path.read_bytes()) == score


def test_importing_the_package_loads_nothing_heavy():
    heavy = "{'torch', 'numpy', 'symusic', 'bentoml'} & set(sys.modules)"
    program = f"import sys, midigpt; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
