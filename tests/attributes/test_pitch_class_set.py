from midigpt.attributes.registry import build
from tests.attributes.music import bar, melody, note, piece

SCORE = piece(melody(bar(note(60), note(72), note(64)), bar(), bar(note(61))))


def test_octaves_are_the_same():
    attribute = build("pitch_class_set", {})

    assert [attribute.compute(SCORE, 0, b) for b in range(3)] == [2, 0, 1]


def test_tracks():
    attribute = build("pitch_class_set", {"level": "track"})

    assert attribute.compute(SCORE, 0) == 3
    assert attribute.name == "pitch_class_set_track"


def test_labels():
    labels = build("pitch_class_set", {}).value_labels()

    assert labels[:3] == ["0 pitch classes", "1 pitch class", "2 pitch classes"]
