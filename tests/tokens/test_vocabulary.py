import pytest
from hypothesis import given
from hypothesis import strategies as st

from midigpt.errors import EncoderConfigError, EncodingError
from midigpt.tokens import Domain, EncoderConfig, Vocabulary
from midigpt.tokens.types import TYPES

VOCABULARY = Vocabulary([("Track", 2), ("Bar", 1), ("PitchRange", 128)])


def test_types_lie_end_to_end():
    assert VOCABULARY.domains == (
        Domain("Track", 0, 2),
        Domain("Bar", 2, 1),
        Domain("TrackLevelPitchRangeMax", 3, 128),
    )
    assert len(VOCABULARY) == 131
    assert VOCABULARY.types[:4] == ("Track", "Track", "Bar", "TrackLevelPitchRangeMax")
    assert VOCABULARY.values[:5] == (0, 1, 0, 0, 1)


def test_the_ids_of_a_type():
    assert "Bar" in VOCABULARY
    assert VOCABULARY.offset("Bar") == 2
    assert VOCABULARY.domain_size("Track") == 2
    assert VOCABULARY.span("Track") == slice(0, 2)


@pytest.mark.parametrize("name", ["PitchRange", "TrackLevelPitchRangeMax"])
def test_aliases_find_their_type(name):
    assert name in VOCABULARY
    assert VOCABULARY.span(name) == slice(3, 131)
    assert VOCABULARY.encode(name, 1) == 4


def test_a_type_it_does_not_have():
    assert "Genre" not in VOCABULARY
    assert VOCABULARY.domain_size("Genre") == 0
    assert VOCABULARY.span("Genre") == slice(0, 0)
    with pytest.raises(KeyError):
        VOCABULARY.offset("Genre")
    with pytest.raises(EncodingError, match="Genre:0 is no token"):
        VOCABULARY.encode("Genre", 0)


@pytest.mark.parametrize("value", [-1, 2])
def test_a_value_outside_its_type(value):
    with pytest.raises(EncodingError, match=f"Track:{value} is no token: Track has 2 values"):
        VOCABULARY.encode("Track", value)


@pytest.mark.parametrize("token", [-1, 131])
def test_an_id_outside_the_vocabulary(token):
    with pytest.raises(EncodingError, match=f"token {token} is outside the vocabulary of 131"):
        VOCABULARY.decode(token)


def test_repeated_and_unknown_types_are_refused():
    with pytest.raises(EncoderConfigError, match="Bar occurs twice"):
        Vocabulary([("Bar", 1), ("TOKEN_BAR", 1)])
    with pytest.raises(EncoderConfigError, match="'Nope'"):
        Vocabulary([("Nope", 1)])


def test_missing_attributes_are_appended():
    config = EncoderConfig.parse({"token_domains": [{"type": "NoteDensity", "domain_size": 10}]})
    vocabulary = Vocabulary.from_config(config, [("PitchRange", 128), ("NoteDensity", 10)])
    assert vocabulary.domains == (
        Domain("NoteDensity", 0, 10),
        Domain("TrackLevelPitchRangeMax", 10, 128),
    )


def test_an_attribute_of_another_size_is_refused():
    config = EncoderConfig.parse({"token_domains": [{"type": "NoteDensity", "domain_size": 5}]})
    with pytest.raises(EncoderConfigError, match="NoteDensity has 5 values, its attribute has 10"):
        Vocabulary.from_config(config, [("NoteDensity", 10)])


def test_a_distribution_of_durations_shares_their_tokens():
    config = EncoderConfig.parse({"token_domains": [{"type": "NoteDuration", "domain_size": 96}]})
    vocabulary = Vocabulary.from_config(config, [("NoteDurationDist", 6)])
    assert vocabulary.domains == (Domain("NoteDuration", 0, 96),)


@given(st.dictionaries(st.sampled_from(TYPES), st.integers(1, 5), min_size=1))
def test_every_id_is_one_type_and_value(sizes):
    vocabulary = Vocabulary(sizes.items())
    for token in range(sum(sizes.values())):
        assert vocabulary.encode(*vocabulary.decode(token)) == token
