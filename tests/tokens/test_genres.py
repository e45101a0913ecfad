import pytest

from midigpt.errors import EncodingError
from midigpt.tokens import Genres

GENRES = Genres({"zeta": ["z1", "Film/TV"], "Alpha": ["a1", "Z1"], "mid": []})


def test_genres_are_numbered_by_name_upper_case_first():
    assert GENRES.names == ("Alpha", "mid", "zeta")
    assert GENRES.num_genres() == 3
    assert [GENRES.decode(value) for value in range(3)] == ["Alpha", "mid", "zeta"]


@pytest.mark.parametrize(
    ("name", "value"), [("alpha", 0), ("A1", 0), ("MID", 1), ("film/tv", 2), ("zeta", 2)]
)
def test_names_and_aliases_are_found_in_any_case(name, value):
    assert GENRES.contains(name)
    assert GENRES.encode(name) == value


def test_of_two_genres_with_an_alias_the_later_has_it():
    assert GENRES.encode("z1") == 2


@pytest.mark.parametrize("name", [" zeta", "jazz", ""])
def test_unknown_names(name):
    assert not GENRES.contains(name)
    with pytest.raises(EncodingError, match=f"unknown genre '{name}': one of Alpha, mid, zeta"):
        GENRES.encode(name)


def test_only_ascii_letters_fold():
    assert not Genres({"ä": []}).contains("Ä")


@pytest.mark.parametrize("value", [-1, 3])
def test_unknown_numbers(value):
    with pytest.raises(EncodingError, match=f"genre {value} is outside 0..2"):
        GENRES.decode(value)


def test_an_encoder_may_have_no_genres():
    with pytest.raises(EncodingError, match="one of none"):
        Genres({}).encode("jazz")
