"""How likely the network finds given tokens after the prompt of a step."""

import math

import pytest
import torch

from midigpt.errors import EncodingError
from midigpt.inference import GenerationRequest
from midigpt.model import sampling
from tests.inference.conftest import ENCODER, random_engine

INFILL = {"id": 0, "bars": [1, 2]}
CONTEXT = {"id": 1, "bars": []}
CONTINUE = {"id": 0, "bars": [2, 3], "autoregressive": True}
LEVELS = {"attribute_controls": [{"name": "polyphony_quantile", "params": {"mode": "max"}}]}
SWITCHABLE = {
    "switchable_velocity": True,
    "switchable_microtiming": True,
    "genre_groups": {"jazz": []},
}
NOTHING = {"log_probs": [], "total_logp": 0.0, "n_tokens": 0, "per_type": {}}


@pytest.fixture
def session(engine, score):
    def made(*tracks, engine=engine, controls=None, **config):
        request = {"tracks": list(tracks), "config": {"model_dim": 4, "seed": 7} | config}
        asked = GenerationRequest.from_dict(request | {"controls": controls or {}})
        return engine.session(score, asked)

    return made


@pytest.fixture
def tokens(token):
    """Spell tokens: ``tokens("NoteOnset 60", "FillInEnd")``."""

    def spelled(*words):
        pairs = (word.partition(" ") for word in words)
        return [token(type_, int(value or 0)) for type_, _, value in pairs]

    return spelled


@pytest.fixture
def passes(monkeypatch):
    """The tokens of every pass through the network of an engine."""

    def watched(engine):
        seen = []
        logits = engine.decoder.logits
        monkeypatch.setattr(engine.decoder, "logits", lambda t: seen.append(t) or logits(t))
        return seen

    return watched


def attempt_of(session):
    """Run the one step of a session; its prompt and what was sampled."""
    attempts = []
    session.attempt_sink = lambda _, row: attempts.append((row.prompt.tokens, row.tokens))
    session.run()
    ((prompt, sampled),) = attempts
    return list(prompt), sampled


def test_what_was_sampled_has_the_probability_it_was_drawn_with(session, monkeypatch):
    drawn = []
    draw = sampling.draw

    def watched(probs, numbers):
        chosen = draw(probs, numbers)
        drawn.append(math.log(probs[0, chosen[0]]))
        return chosen

    monkeypatch.setattr(sampling, "draw", watched)
    # short bars need not be told to end, which is a rule that a replay does not have
    asked = session(INFILL, CONTEXT, bars_per_step=4, density_hard_limit=9)
    _, sampled = attempt_of(asked)
    replayed = asked.score_from_tokens(sampled)
    assert replayed["log_probs"] == pytest.approx(drawn, abs=1e-4)
    assert replayed["n_tokens"] == len(sampled)


def test_it_adds_up_by_type(session, tokens):
    replayed = session(INFILL, CONTEXT).score_from_tokens(
        tokens("NoteOnset 60", "NoteDuration 3", "NoteOnset 62", "NoteDuration 3", "FillInEnd")
    )
    first, length, second, again, _ = replayed["log_probs"]
    by_type = replayed["per_type"]
    assert list(by_type) == ["NoteOnset", "NoteDuration", "FillInEnd"]
    assert by_type["NoteOnset"] == {"mean": (first + second) / 2, "sum": first + second, "n": 2}
    assert by_type["NoteDuration"]["sum"] == length + again
    assert by_type["FillInEnd"]["n"] == 1
    assert replayed["total_logp"] == sum(replayed["log_probs"])


def test_nothing_to_score(session, tokens):
    asked = session(INFILL, CONTEXT)
    assert len(asked.plan_summary()) == 2
    assert asked.score_from_tokens([]) == NOTHING
    assert asked.score_from_tokens(tokens("FillInEnd"), step_idx=2) == NOTHING
    assert asked.score_from_tokens(tokens("FillInEnd"), step_idx=-1) == NOTHING


def test_what_the_grammar_forbids_is_impossible(session, tokens):
    """Even where a token before it left nothing possible at all."""
    replayed = session(CONTINUE, CONTEXT).score_from_tokens(
        tokens("FillInEnd", "TrackEnd", "TrackEnd")
    )
    assert replayed["log_probs"] == [-math.inf] * 3
    assert replayed["total_logp"] == -math.inf


def test_a_token_that_does_not_exist(session):
    with pytest.raises(EncodingError, match="999999"):
        session(INFILL, CONTEXT).score_from_tokens([999999])


class TestRules:
    @pytest.fixture
    def allowed(self, session, tokens):
        """How many tokens could have stood in the place of each, 0 for an impossible one.

        Told by a network that finds all tokens alike.
        """
        uniform = random_engine()
        torch.nn.init.zeros_(uniform.decoder._model.lm_head.weight)

        def counted(tracks, *words, **config):
            asked = session(*tracks, engine=uniform, **config)
            log_probs = asked.score_from_tokens(tokens(*words))["log_probs"]
            return [round(math.exp(-x)) if math.isfinite(x) else 0 for x in log_probs]

        return counted

    @pytest.fixture
    def notes(self, vocabulary):
        """Tokens that a note can begin with."""
        return vocabulary.domain_size("NoteOnset") + vocabulary.domain_size("VelocityLevel")

    def test_the_grammar(self, allowed, notes, vocabulary):
        words = ("NoteOnset 60", "NoteDuration 3", "TimeAbsolutePos 40", "NoteOnset 60")
        assert allowed([INFILL, CONTEXT], *words) == [
            notes + 48,
            vocabulary.domain_size("NoteDuration"),
            notes + 48 + 1,  # all positions, position 0 too, or the end
            notes + 1,
        ]

    def test_a_fill_has_the_kind_and_the_meter_of_its_bar(self, allowed, score):
        for track in score.tracks:
            track.bars[1].ts_numerator, track.bars[1].beat_length = 3, 3.0
        fill = [INFILL | {"bars": [1]}, CONTEXT]
        note = ("NoteOnset 60", "NoteDuration 3")
        assert allowed(fill, *note, "TimeAbsolutePos 35")[2] > 0
        assert allowed(fill, *note, "TimeAbsolutePos 36")[2] == 0

    def test_the_limits_on_the_number_of_notes(self, allowed):
        words = ("NoteOnset 60", "NoteDuration 3", "FillInEnd")
        assert allowed([INFILL, CONTEXT], *words, density_hard_limit=1)[2] == 1

    def test_no_controls(self, allowed):
        controls = {
            "pitch_mask": {"pitches": [62], "shape": {"type": "normal"}},
            "rhythm_mask": {"positions": [{"pos": 0}, {"pos": 12}]},
        }
        words = ("TimeAbsolutePos 7", "NoteOnset 60", "NoteDuration 3")
        plain = allowed([INFILL, CONTEXT], *words)
        assert all(plain)
        assert allowed([INFILL | {"controls": controls}, CONTEXT], *words) == plain

    def test_no_meter_that_every_bar_must_have(self, allowed):
        assert all(allowed([CONTINUE, CONTEXT], "Bar", "TimeSig 1", "NoteOnset 60"))

    def test_no_levels_that_were_asked_for(self, session):
        whole = {"id": 0, "bars": [], "autoregressive": True, "attributes": {"max_polyphony": 7}}
        engine = random_engine(ENCODER | LEVELS)
        other = engine.language.tokenizer.vocabulary.encode("MaxPolyphony", 2)
        replayed = session(whole, CONTEXT, engine=engine).score_from_tokens([other])
        assert math.isfinite(replayed["total_logp"])


class TestPrompt:
    @pytest.fixture
    def words(self, session, passes):
        """The types of the tokens that the network is shown before a first token."""
        engine = random_engine(ENCODER | SWITCHABLE | LEVELS)
        shown = passes(engine)
        vocabulary = engine.language.tokenizer.vocabulary

        def told(*tracks, use_velocity=-1, **settings):
            asked = session(*tracks, engine=engine, **settings)
            asked.score_from_tokens([vocabulary.encode("NoteOnset", 60)], 0, use_velocity)
            return [vocabulary.decode(token) for token in shown.pop()]

        return told

    def test_velocities_are_told_unless_they_are_switched_off(self, words):
        on, off = (words(INFILL, CONTEXT, use_velocity=use) for use in (-1, 0))
        assert words(INFILL, CONTEXT, use_velocity=1) == on
        assert [word for word in on if word[0] not in {"UseVelocity", "VelocityLevel"}] == [
            word for word in off if word[0] not in {"UseVelocity", "VelocityLevel"}
        ]
        assert ("UseVelocity", 1) in on
        assert ("UseVelocity", 0) in off
        assert "VelocityLevel" in dict(on)
        assert "VelocityLevel" not in dict(off)

    def test_the_piece_controls_of_the_request_do_not_count(self, words):
        controls = {"velocity": False, "microtiming": False, "genre": "jazz"}
        assert words(INFILL, CONTEXT, controls=controls) == words(INFILL, CONTEXT)

    def test_no_levels_are_measured(self, words):
        assert "MaxPolyphony" not in dict(words(INFILL, CONTEXT))

    def test_hidden_bars_are_shells(self, words):
        told = [type_ for type_, _ in words(INFILL, CONTEXT | {"mask_bars": [0]})]
        second_track = told.index("TrackEnd") + 1
        start = told.index("Bar", second_track)
        assert told[start : start + 3] == ["Bar", "TimeSig", "BarEnd"]

    def test_ignored_tracks_are_not_shown(self, words):
        told = words({"id": 0, "bars": [], "ignore": True}, {"id": 1, "bars": [1]})
        assert [word for word in told if word[0] == "Track"] == [("Track", 1)]

    def test_each_step_has_its_own(self, session, engine, passes, tokens):
        shown = passes(engine)
        asked = session(INFILL, CONTEXT)
        for step in (0, 1):
            asked.score_from_tokens(tokens("NoteOnset 60"), step)
        assert shown[0] != shown[1]
        session(INFILL | {"bars": [2]}, CONTEXT).score_from_tokens(tokens("NoteOnset 60"))
        assert shown[2] == shown[1]


def test_one_pass_for_all_tokens(session, engine, passes):
    asked = session(INFILL, CONTEXT, bars_per_step=4)
    prompt, sampled = attempt_of(asked)
    shown = passes(engine)
    asked.score_from_tokens(sampled)
    assert shown == [[*prompt, *sampled[:-1]]]


def test_what_is_longer_than_the_context_is_read_in_strides_of_half_of_it(session, passes, tokens):
    engine = random_engine(context=131)
    asked = session(INFILL | {"bars": [1]}, {"id": 1, "bars": [], "ignore": True}, engine=engine)
    prompt, _ = attempt_of(asked)
    notes = tokens("NoteOnset 60", "NoteDuration 3") * 150
    shown = passes(engine)

    log_probs = asked.score_from_tokens(notes)["log_probs"]

    stream = [*prompt, *notes]
    network = engine.decoder._model
    legal = asked._engine.language.tokenizer.vocabulary.span("NoteDuration")
    for place in range(len(prompt) + 1, len(stream), 2):
        start = math.ceil((place - 131 + 1) / 65) * 65 if place >= 131 else 0
        logits = network(torch.tensor([stream[start:place]]))[0][0, -1, legal]
        expected = float(logits.log_softmax(0)[3].detach())
        assert log_probs[place - len(prompt)] == pytest.approx(expected, abs=1e-4), place
    assert all(len(tokens) <= 131 for tokens in shown)
    assert len(shown) == 1 + math.ceil((len(stream) - 131) / 65)
