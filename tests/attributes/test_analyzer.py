import copy
import math

import pytest
from hypothesis import given

from midigpt.attributes import AttributeAnalyzer
from midigpt.attributes.registry import REGISTRY, build
from midigpt.errors import EncoderConfigError
from midigpt.tokens import EncoderConfig, Tokenizer
from tests.attributes.music import bar, drums, melody, note, piece, pieces

MODES = {
    "polyphony_quantile": [{"mode": "min"}, {"mode": "max", "level": "bar"}],
    "note_duration_quantile": [{"mode": "min"}, {"mode": "max", "level": "bar"}],
}
EVERYTHING = AttributeAnalyzer(
    build(key, params)
    for key in REGISTRY
    if key != "note_density"  # shares its name with a quantile
    for params in MODES.get(key, [{}, {"level": "bar"}] if "silence" in key else [{}])
)
SCORE = piece(
    melody(bar(note(60, 0, 48), note(64, 0, 48), note(67, 0, 48)), bar(note(60, 0, 12))),
    drums(bar(note(36), note(38)), bar()),
)


def control(name, **params):
    return {"name": name, "params": params}


def domain(type_, size):
    return {"type": type_, "domain_size": size}


def names(*controls, domains=None):
    """The attributes of a config, in order."""
    config = {"attribute_controls": list(controls), "token_domains": domains}
    return list(AttributeAnalyzer.from_config(config).attribute_sizes())


def test_attributes_of_token_domains():
    domains = [domain("Bar", 1), domain("MaxPolyphony", 10), domain("NoteDensity", 10)]

    assert names(domains=domains) == ["max_polyphony", "note_density"]


def test_a_domain_is_known_by_its_canonical_name():
    assert names(domains=[domain("PitchRange", 128)]) == ["pitch_range"]
    assert names(domains=[domain("OnsetPolyphony", 10)]) == ["bar_max_polyphony"]
    assert names(domains=[domain("NoteDuration", 96)]) == []


def test_controls_come_after_the_domains():
    assert names(control("nomml"), domains=[domain("KeySignature", 25)]) == [
        "key_signature",
        "nomml",
    ]


def test_a_control_takes_the_place_of_the_attribute_with_its_token():
    domains = [domain("NoteDensity", 10), domain("KeySignature", 25)]
    analyzer = AttributeAnalyzer.from_config(
        {
            "token_domains": domains,
            "attribute_controls": [control("note_density_quantile", track_type="both")],
        }
    )

    assert list(analyzer.attribute_track_types().items()) == [
        ("note_density", "both"),
        ("key_signature", "melodic"),
    ]


def test_attributes_that_share_a_token_under_two_names_are_two():
    domains = [domain("BarLevelOnsetPolyphonyMax", 10)]

    assert names(control("onset_polyphony"), domains=domains) == [
        "bar_max_polyphony",
        "onset_polyphony",
    ]


def test_no_attributes():
    assert names() == []


def test_a_parsed_config():
    config = EncoderConfig.parse({"attribute_controls": [control("pitch_range")]})

    assert AttributeAnalyzer.from_config(config).token_domain_specs() == [
        ("TrackLevelPitchRangeMax", 128)
    ]


def test_parameters_may_be_left_out():
    assert names({"name": "nomml"}) == ["nomml"]


def test_unknown_attribute():
    with pytest.raises(EncoderConfigError, match="no attribute 'loudness'"):
        names(control("loudness"))


def test_a_domain_of_another_size():
    with pytest.raises(EncoderConfigError) as caught:
        names(domains=[domain("NoteDensity", 5)])

    assert str(caught.value) == (
        "token_domains: NoteDensity: the attribute note_density has 10 levels, not 5"
    )


def test_a_domain_of_another_size_under_another_name():
    # replaced by one with the same token, but more values
    with pytest.raises(EncoderConfigError, match="has 10 levels, not 11"):
        names(control("onset_polyphony"), domains=[domain("OnsetPolyphony", 11)])


def test_a_borrowed_domain_may_be_larger():
    domains = [domain("NoteDuration", 96)]

    assert names(control("note_duration_dist"), domains=domains) == ["note_duration_dist"]


def test_a_tokenizer_in_between_changes_nothing():
    config = EncoderConfig.parse({"attribute_controls": [control("onset_polyphony")]})
    before = AttributeAnalyzer.from_config(config)
    tokenizer = Tokenizer(config, before)

    for after in (tokenizer.config, tokenizer.config.to_dict()):
        specs = AttributeAnalyzer.from_config(after).token_domain_specs()
        assert specs == before.token_domain_specs() == [("OnsetPolyphony", 10)]


def test_listings():
    analyzer = AttributeAnalyzer([build("nomml", {}), build("tension", {})])

    assert analyzer.attribute_sizes() == {"nomml": 13, "tension": 10}
    assert analyzer.attribute_levels() == {"nomml": "track", "tension": "bar"}
    assert analyzer.attribute_track_types() == {"nomml": "both", "tension": "melodic"}
    assert list(analyzer.attribute_value_labels()) == ["nomml"]
    assert analyzer.attribute_value_labels()["nomml"][0] == "quarter"
    assert analyzer.token_domain_specs() == [("TrackLevelNomml", 13), ("Tension", 10)]


def test_by_name():
    nomml = build("nomml", {})
    analyzer = AttributeAnalyzer([nomml])

    assert analyzer["nomml"] is analyzer.get("nomml") is nomml
    assert analyzer.get("loudness") is None
    with pytest.raises(KeyError):
        analyzer["loudness"]


PRISM = AttributeAnalyzer.from_config(
    {
        "attribute_controls": [
            control("polyphony_quantile", mode="max"),
            control("note_density_quantile", level="bar"),
            control("polyphony_quantile", mode="max", level="bar"),
            control("pitch_class_set"),
            control("nomml"),
        ]
    }
)


def test_levels_of_a_score():
    melodic, drum = PRISM.compute_score(SCORE)

    assert melodic.track == {"max_polyphony": 2, "nomml": 0}
    assert melodic.bars == [
        {"BarLevelOnsetPolyphonyMax": 2, "BarLevelPitchClassSet": 3},
        {"BarLevelOnsetPolyphonyMax": 0, "BarLevelPitchClassSet": 1},
    ]
    assert drum.track == {"nomml": 0}
    assert drum.bars == [{"BarLevelOnsetDensity": 0}, {"BarLevelOnsetDensity": 0}]


def test_levels_of_a_track_and_of_a_bar():
    assert PRISM.compute_track_tokens(SCORE, 0) == {"max_polyphony": 2, "nomml": 0}
    assert PRISM.compute_bar_tokens(SCORE, 0, 0) == {
        "BarLevelOnsetPolyphonyMax": 2,
        "BarLevelPitchClassSet": 3,
    }


def test_a_bar_past_the_end_is_empty():
    assert PRISM.compute_bar_tokens(SCORE, 0, 2) == {
        "BarLevelOnsetPolyphonyMax": 0,
        "BarLevelPitchClassSet": 0,
    }


def test_all_values():
    values = PRISM.compute_all(SCORE)

    assert values == [{"max_polyphony": 3, "nomml": 0}, {"max_polyphony": 2, "nomml": 0}]


def test_no_such_track():
    for ask in (
        lambda: PRISM.compute_track_tokens(SCORE, 2),
        lambda: PRISM.compute_bar_tokens(SCORE, 2, 0),
        lambda: PRISM.evaluate({}, SCORE, 2),
    ):
        with pytest.raises(IndexError):
            ask()


def test_evaluate():
    asked = {"nomml": 0, "max_polyphony": 5, "loudness": 3, "pitch_class_set": 3}

    assert PRISM.evaluate(asked, SCORE, 0) == {"nomml": 1.0, "max_polyphony": 0.0}


def test_report():
    score = copy.deepcopy(SCORE)
    score.tracks[0].attributes = {
        "max_polyphony": 2,
        "bar_BarLevelOnsetPolyphonyMax_0": 1,
        "bar_PitchClassSet_1": 1,
    }
    asked = {"nomml": 3, "bar_attributes": {1: {"pitch_class_set": 2}}}

    report = PRISM.report(score, 0, asked)

    def entry(sampled, realized, requested=None):
        return {
            "sampled": sampled,
            "realized": realized,
            "requested": requested,
            "consistent": None if sampled is None else sampled == realized,
            "achieved": None if requested is None else requested == realized,
        }

    assert report == {
        "track": {"max_polyphony": entry(2, 2), "nomml": entry(None, 0, requested=3)},
        "bars": [
            {"bar_max_polyphony": entry(1, 2), "pitch_class_set": entry(None, 3)},
            {"bar_max_polyphony": entry(None, 0), "pitch_class_set": entry(1, 1, requested=2)},
        ],
    }


def test_a_report_without_requests():
    report = PRISM.report(SCORE, 1)

    assert list(report["track"]) == ["nomml"]
    assert [list(bar) for bar in report["bars"]] == [["bar_note_density"]] * 2
    assert report["track"]["nomml"]["requested"] is None


@pytest.mark.parametrize("t", [-1, 2])
def test_a_report_on_a_missing_track(t):
    assert PRISM.report(SCORE, t) == {"track": {}, "bars": []}


@given(pieces)
def test_all_ways_to_measure_agree(score):
    before = copy.deepcopy(score)

    for t, levels in enumerate(EVERYTHING.compute_score(score)):
        bars = range(len(score.tracks[t].bars))
        assert levels.track == EVERYTHING.compute_track_tokens(score, t)
        assert levels.bars == [EVERYTHING.compute_bar_tokens(score, t, b) for b in bars]
        assert EVERYTHING.evaluate(levels.track, score, t) == dict.fromkeys(levels.track, 1.0)
    assert score == before


@given(pieces)
def test_levels_are_in_range(score):
    wider = {"onset_polyphony": 128}

    for t, values in enumerate(EVERYTHING.compute_all(score)):
        for name, value in values.items():
            attribute = EVERYTHING[name]
            assert math.isfinite(value)
            assert 0 <= attribute.quantize(value) < wider.get(name, attribute.size)
            low, high = attribute.achievable_range(score, t, [0])
            assert 0 <= low <= high < attribute.size
    for levels in EVERYTHING.compute_score(score):
        for bar_levels in levels.bars:
            assert all(0 <= level < 13 for level in bar_levels.values())
