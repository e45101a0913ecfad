"""Making requests fit: smaller steps, fewer context tracks, and what never fits."""

import pytest
import torch

from midigpt import Bar, Note, Score, Track
from midigpt.errors import RequestValidationError
from midigpt.inference.fit import measure
from midigpt.inference.steps import Splits
from tests.inference.conftest import ENCODER, random_engine
from tests.inference.sessions import asked

FILL = {"id": 0, "bars": [1]}
OTHERS = [{"id": id_, "bars": []} for id_ in (1, 2, 3)]


@pytest.fixture
def crowd():
    """Four tracks, the later the fuller."""
    return Score([busy(4, notes) for notes in (1, 2, 4, 8)])


def busy(bars, notes):
    return Track([Bar([Note(60 + n, 80, 60 * n, 60) for n in range(notes)]) for _ in range(bars)])


def longest(score, *tracks, **config):
    """Tokens of the longest prompt that is planned."""
    session = asked(random_engine(), score, *tracks, **config)
    measured = measure(session._task, session._fitted.sizes, Splits())
    return max(m.length for m in measured)


class TestDropping:
    @pytest.fixture
    def dropped(self, crowd, monkeypatch):
        """Ids of what is dropped where the whole prompt just does not fit with what is written."""
        engine = random_engine(context=longest(crowd, FILL, *OTHERS) + 1)
        self.asked_network = []
        monkeypatch.setattr(engine.decoder, "attention", self.attention)
        return lambda **config: asked(engine, crowd, FILL, *OTHERS, **config).dropped_context

    def attention(self, tokens, _hidden):
        """The later a token, the less it matters."""
        self.asked_network.append(len(tokens))
        return torch.arange(len(tokens), 0, -1, dtype=torch.float32)

    def test_what_the_network_looks_at_least_goes_first(self, dropped):
        assert dropped() == [3]
        assert len(self.asked_network) == 1

    def test_what_the_request_lists_goes_before(self, dropped):
        assert dropped(context_drop=[2, 1]) == [2]
        assert self.asked_network == []

    def test_what_the_request_keeps_stays(self, dropped):
        assert dropped(context_keep=[3]) == [2]

    def test_nothing_is_dropped_that_is_not_listed(self, dropped):
        assert dropped(context="listed") == []
        assert dropped(context="listed", context_drop=[1]) == [1]
        assert dropped(context="all") == []
        assert self.asked_network == []

    def test_the_network_is_not_asked_where_nothing_helps(self, crowd):
        engine = random_engine(context=longest(crowd, FILL, *OTHERS, context="all"))
        engine.decoder.attention = self.attention
        self.asked_network = []
        session = asked(engine, crowd, FILL, *OTHERS, budget_margin=50)
        assert session.dropped_context == [1, 2, 3]
        assert self.asked_network == []

    @pytest.mark.parametrize(("programs", "expected"), [((41, 5), 1), ((5, 41), 2)])
    def test_of_tracks_of_one_role_the_foreign_family_goes_first(self, programs, expected):
        """Judged by role, because the network cannot read all of the prompt."""
        score = Score([busy(4, 1), busy(4, 4), busy(4, 4)])
        for track, program in zip(score.tracks[1:], programs, strict=True):
            track.instrument = program
        tracks = [FILL, *OTHERS[:2]]
        engine = random_engine(context=longest(score, *tracks))
        assert asked(engine, score, *tracks).dropped_context == [expected]


class TestSplitting:
    def written(self, room):
        """The bars of each step, of a request that leaves their number open."""
        engine = random_engine(ENCODER | {"num_bars_map": [8]}, context=room)
        fill = {"id": 0, "bars": [0, 1, 2, 3, 4, 5]}
        session = asked(engine, Score([busy(8, 8)]), fill, model_dim=8, bars_per_step="auto")
        return [step["generate"]["0"] for step in session.plan_summary()]

    def test_steps_are_split_from_the_bars_they_really_have(self):
        """Half of the six bars of the step, not of the eight of the window."""
        # that is what six bars and their prompt take, three bars, and one
        assert self.written(287) == [[0, 1, 2, 3, 4, 5]]
        assert self.written(286) == [[0, 1, 2], [3, 4, 5]]
        assert self.written(255) == [[0, 1, 2], [3, 4, 5]]
        assert self.written(254) == [[0], [1], [2], [3], [4], [5]]

    @pytest.mark.parametrize(
        ("room", "tracks", "bars"),
        [
            (300, [["0", "1"], ["2", "3"]], [1, 2]),
            (280, [["0"], ["1"], ["2"], ["3"]], [1, 2]),
            (260, [["0"], ["0"], ["1"], ["1"], ["2"], ["2"], ["3"], ["3"]], [1]),
        ],
    )
    def test_tracks_are_split_before_bars(self, crowd, room, tracks, bars):
        fills = [{"id": id_, "bars": [1, 2]} for id_ in range(4)]
        auto = {"bars_per_step": "auto", "tracks_per_step": "auto"}
        plan = asked(random_engine(context=room), crowd, *fills, **auto).plan_summary()
        assert [[*step["generate"]] for step in plan] == tracks
        assert plan[0]["generate"]["0"] == bars


class TestRoom:
    def test_what_never_fits_is_refused_by_name(self, crowd):
        session = asked(random_engine(context=60), crowd, FILL, *OTHERS, context="all")
        with pytest.raises(RequestValidationError) as refused:
            session.check_room()
        assert str(refused.value).startswith("score: bars 0 to 1 take ")
        assert "which leaves no room to write (most of them, " in str(refused.value)
        assert "are track_id=3); ignore tracks" in str(refused.value)

    def test_what_fits_a_smaller_window_is_not(self, crowd):
        engine = random_engine(context=longest(crowd, FILL, *OTHERS))
        session = asked(engine, crowd, FILL, *OTHERS, context="all")
        assert session._fitted.tight
        session.check_room()
