"""Small pieces of music for the tests of this folder, at 12 ticks per quarter note."""

from hypothesis import strategies as st

from midigpt import Bar, Note, Score, Track

RESOLUTION = 12


def note(pitch=60, onset=0, duration=12, velocity=100):
    return Note(pitch, velocity, onset, duration)


def bar(*notes, meter=(4, 4)):
    return Bar(list(notes), *meter)


def melody(*bars, instrument=0):
    return Track(list(bars), instrument)


def drums(*bars):
    return Track(list(bars), 0, "drum")


def piece(*tracks):
    return Score(list(tracks), RESOLUTION)


_notes = st.builds(
    Note,
    pitch=st.integers(0, 127),
    velocity=st.sampled_from([0, 1, 64, 127]),
    onset_ticks=st.integers(-5, 60),
    duration_ticks=st.integers(-2, 30) | st.integers(30, 120),
)
_meters = st.sampled_from([(4, 4), (3, 4), (1, 4), (5, 8), (7, 16)])
_bars = st.builds(lambda notes, meter: Bar(notes, *meter), st.lists(_notes, max_size=6), _meters)
_tracks = st.builds(
    Track,
    bars=st.lists(_bars, max_size=4),
    instrument=st.integers(-1, 130),
    track_type=st.sampled_from(["melodic", "drum"]),
)
pieces = st.builds(
    Score, tracks=st.lists(_tracks, max_size=3), resolution=st.sampled_from([1, 4, 7, 12, 24])
)
"""Any small score, with notes before the barline, without length, and without end in their bar."""
