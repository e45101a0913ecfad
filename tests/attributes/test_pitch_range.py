from midigpt.attributes.registry import build
from tests.attributes.music import bar, melody, note, piece

RANGE = build("pitch_range", {})


def test_semitones():
    score = piece(
        melody(bar(note(60)), bar(note(72), note(67))), melody(bar()), melody(bar(note()))
    )

    assert [RANGE.compute(score, t) for t in range(3)] == [12, 0, 0]
    assert RANGE.value_labels()[12] == "12 semitones"
    assert RANGE.value_labels()[1] == "1 semitone"


def test_levels():
    assert [RANGE.quantize(semitones) for semitones in (0, 127, 200)] == [0, 127, 127]
