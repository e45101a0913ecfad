import json
from types import MappingProxyType

import pytest
from pydantic import ValidationError

from midigpt.errors import EncoderConfigError
from midigpt.tokens import EncoderConfig


def test_an_empty_config_has_defaults():
    config = EncoderConfig.parse({})
    assert (config.resolution, config.decode_resolution) == (480, 480)
    assert config.pitch_range == (0, 127)
    assert config.time_signatures is None
    assert [type_ for type_, _ in config.domains] == [
        *("PieceStart", "Track", "TrackEnd", "Bar", "BarEnd"),
        *("Instrument", "NoteOnset", "NoteDuration", "VelocityLevel"),
    ]


def test_json_text_and_its_contents_are_the_same():
    data = {"resolution": 12, "time_signatures": ["3/4", "17/16"], "num_bars_map": [4, 8]}
    config = EncoderConfig.parse(data)
    assert config == EncoderConfig.parse(json.dumps(data))
    assert config == EncoderConfig.parse(MappingProxyType(data))
    assert config.time_signatures == ((3, 4), (17, 16))
    assert config.num_bars_map == (4, 8)


def test_members_it_does_not_know_are_ignored():
    data = {"model_dim": 9, "use_microtiming": "yes", "unknown": None}
    assert EncoderConfig.parse(data) == EncoderConfig.parse({})


def test_a_config_does_not_change():
    with pytest.raises(ValidationError):
        EncoderConfig.parse({}).resolution = 24


def test_everything_derived_in_order():
    config = EncoderConfig.parse(
        {
            "resolution": 5,
            "pitch_range": [36, 83],
            "velocity_levels": 16,
            "note_duration_max_beats": 2,
            "switchable_velocity": True,
            "switchable_microtiming": True,
            "supports_infill": True,
            "supports_mask_bar_token": True,
            "num_bars_map": [4, 8, 12],
            "time_signatures": ["4/4", "17/16"],
            "instrument_merge_groups": [[0, 1, 2], [4, 5]],
            "genre_groups": {"a": [], "b": []},
        }
    )
    assert config.domains == (
        *(("PieceStart", 2), ("Track", 2), ("TrackEnd", 1), ("Bar", 1), ("BarEnd", 1)),
        *(("TimeSig", 2), ("Instrument", 125), ("NumBars", 3), ("NoteOnset", 48)),
        *(("NoteDuration", 10), ("TimeAbsolutePos", 22), ("UseVelocity", 2)),
        *(("UseMicrotiming", 2), ("Genre", 2), ("VelocityLevel", 16), ("DeltaDirection", 2)),
        *(("Delta", 2), ("FillInPlaceholder", 1), ("FillInStart", 1), ("FillInEnd", 1)),
        ("MaskBar", 1),
    )


def test_there_is_always_one_delta():
    config = EncoderConfig.parse({"resolution": 1, "emit_delta_tokens": True})
    assert ("Delta", 1) in config.domains


def test_switchable_microtiming_needs_deltas():
    config = EncoderConfig.parse({"emit_delta_tokens": False, "switchable_microtiming": True})
    assert config.emit_delta_tokens


def test_an_explicit_vocabulary_is_taken_as_it_is():
    config = EncoderConfig.parse(
        {"token_domains": [{"type": "TOKEN_BAR", "domain_size": 2}], "supports_infill": True}
    )
    assert config.domains == (("Bar", 2),)
    assert EncoderConfig.parse({"token_domains": []}).domains == ()


def test_written_back_a_config_means_the_same():
    data = {
        "resolution": 12,
        "time_signatures": ["4/4"],
        "genre_groups": {"b": ["x"], "A": []},
        "instrument_merge_groups": [[0, 1]],
        "attribute_controls": [{"name": "nomml"}, {"name": "a", "params": {"mode": None}}],
    }
    config = EncoderConfig.parse(data)
    written = json.loads(json.dumps(config.to_dict()))
    assert written.items() >= data.items()
    assert written["token_domains"][0] == {"type": "PieceStart", "domain_size": 1}
    assert "num_bars_map" not in written
    assert EncoderConfig.parse(written).domains == config.domains


def test_the_lowest_pitch_is_that_of_the_range():
    assert EncoderConfig.parse({"pitch_range": [21, 108]}).lowest_pitch == 21
    explicit = {
        "pitch_range": [21, 108],
        "token_domains": [{"type": "NoteOnset", "domain_size": 9}],
    }
    assert EncoderConfig.parse(explicit).lowest_pitch == 0


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"resolution": "12"}, "resolution: .*integer, not '12'"),
        ({"resolution": None}, "resolution: .*integer, not None"),
        ({"resolution": 12.7}, "resolution: .*integer, not 12.7"),
        ({"resolution": -1}, "resolution: .*not -1"),
        ({"resolution": 10**9}, "resolution: .*32767"),
        ({"decode_resolution": 0}, "decode_resolution: .*not 0"),
        ({"supports_infill": 1}, "supports_infill: .*boolean, not 1"),
        ({"velocity_levels": 1}, "velocity_levels: .*not 1"),
        ({"pitch_range": [1]}, r"pitch_range\.1"),
        ({"pitch_range": [0, 128]}, r"pitch_range\.1: .*127"),
        ({"pitch_range": [9, 3]}, "pitch_range: the lowest pitch comes first"),
        ({"num_bars_map": [4, 0]}, r"num_bars_map\.1"),
        ({"time_signatures": ["44"]}, r'time_signatures\.0: .* "3/4", not \'44\''),
        ({"time_signatures": ["4/4", "4/0"]}, r"time_signatures\.1"),
        ({"time_signatures": ["4/4x"]}, r"time_signatures\.0"),
        ({"time_signatures": [4]}, r"time_signatures\.0"),
        ({"instrument_merge_groups": [[]]}, r"instrument_merge_groups\.0"),
        ({"instrument_merge_groups": [[0, 128]]}, r"instrument_merge_groups\.0\.1"),
        ({"genre_groups": {"a": "b"}}, r"genre_groups\.a"),
        ({"attribute_controls": [{"params": {}}]}, r"attribute_controls\.0\.name"),
        ({"token_domains": [{"type": "Nope", "domain_size": 1}]}, "token type, not 'Nope'"),
        ({"token_domains": [{"type": [], "domain_size": 1}]}, r"token_domains\.0"),
        ({"token_domains": [{"type": "Bar", "domain_size": 0}]}, r"token_domains\.0"),
        ({"token_domains": [{"type": "Bar"}]}, r'token_domains\.0: .*{"type", "domain_size"}'),
        (
            {
                "token_domains": [
                    {"type": "PitchRange", "domain_size": 1},
                    {"type": "TrackLevelPitchRangeMax", "domain_size": 1},
                ]
            },
            "token_domains: each type occurs once",
        ),
        (
            {
                "time_signatures": ["4/4", "3/4"],
                "token_domains": [{"type": "TimeSig", "domain_size": 1}],
            },
            "token_domains: TimeSig has one value for each of the 2 time_signatures",
        ),
        ([], "the whole: .*object"),
        ("[]", "the whole: .*object"),
        ("{", "the whole: Invalid JSON"),
        ({"resolution": {1, 2}}, "the whole: not JSON data"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(data, complaint):
    with pytest.raises(EncoderConfigError, match=f"^encoder config: .*{complaint}") as caught:
        EncoderConfig.parse(data)
    assert "\n" not in str(caught.value)
