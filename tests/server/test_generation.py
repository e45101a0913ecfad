import json
import threading
from types import SimpleNamespace

import pytest

from midigpt import Note, __version__
from midigpt.errors import CheckpointError, GenerationError, RequestValidationError
from midigpt.inference.engine import InferenceEngine
from midigpt.inference.language import Language
from midigpt.server import generation
from midigpt.server.capabilities import describe
from midigpt.server.config import ModelEntry
from midigpt.server.generation import LoadedModel
from midigpt.server.schemas import GenerateInput
from midigpt.server.stream import Answer
from tests.inference.asking import ENCODER, SWITCHABLE
from tests.inference.fakes import FakeDecoder


def engine(**changes):
    language = Language.of(ENCODER | changes)
    return InferenceEngine(language, FakeDecoder(len(language.tokenizer.vocabulary)))


TINY = ModelEntry(id="tiny", label="models/tiny.pt", max_parallel=2)


@pytest.fixture(scope="module")
def model():
    loaded = engine()
    return LoadedModel(loaded, describe(loaded, TINY, "other", device="cpu"))


def piece(model, body, ignored=()):
    return model.piece(body, list(ignored), lambda: None)


def members(output):
    """What is sent of an answer."""
    return json.loads(Answer.of(output).json)


def body(bars=(1,), **config):
    config = {"model_dim": 4, "seed": 7, "density_hard_limit": 3, **config}
    return GenerateInput.model_validate(
        {
            "score": {"tempo": 413793, "tracks": [{"bars": [{}, {}, {}, {}]}]},
            "request": {"tracks": [{"id": 0, "bars": list(bars)}], "config": config},
            "request_id": "mine",
        }
    )


def job(*, stop=False, reason=None):
    event = threading.Event()
    if stop:
        event.set()
    return SimpleNamespace(stop=event, reason=reason, waited=0.25)


def heard(notes):
    """Notes without velocities: the model reads its own bars a level louder or softer."""
    return sorted((n["pitch"], n["onset_ticks"], n["duration_ticks"], n["delta"]) for n in notes)


class StoppedAfter:
    """A job that is told to stop after so many tokens."""

    def __init__(self, tokens, reason):
        self.stop, self.reason, self.waited = self, reason, 0.25
        self._left = tokens + 2  # it is also asked before the step and before the first token

    def is_set(self):
        self._left -= 1
        return self._left < 0


def test_the_answer(model):
    answer = members(piece(model, body(), ["'x' is not known"]).write(job(), None))
    score, timing, tokens = answer.pop("score"), answer.pop("timing"), answer.pop("tokens")
    assert answer == {
        "request_id": "mine",
        "model": "tiny",
        "status": "completed",
        "seed": 7,
        "generated_bars": {"0": [1]},
        "dropped_context": [],
        "attempts": 1,
        "warnings": ["'x' is not known"],
        "queue_s": 0.25,
    }
    assert (score["resolution"], score["tempo"]) == (ENCODER.get("decode_resolution", 480), 413793)
    assert [bool(bar["notes"]) for bar in score["tracks"][0]["bars"]] == [False, True, False, False]
    assert set(timing) == {"model_forward_s", "encode_s", "decode_s", "gen_count"}
    assert timing["gen_count"] == tokens["generated_tokens"] > 0
    assert tokens["max_context_tokens"] == 2048
    assert tokens["context_utilization"] == round(tokens["context_tokens"] / 2048, 3)
    assert tokens["peak_context_tokens"] >= tokens["context_tokens"]
    assert tokens["truncated"] is False


def test_the_same_seed_gives_the_same_score(model):
    scores = [piece(model, body()).write(job(), None).score for _ in range(2)]
    assert scores[0] == scores[1]
    assert piece(model, body(seed=8)).write(job(), None).score != scores[0]


def test_a_generation_that_is_stopped(model):
    output = piece(model, body([1, 2])).write(StoppedAfter(5, "time_limit"), None)
    assert (output.status, output.cancel_reason) == ("cancelled", "time_limit")
    assert output.timing.gen_count == 5
    assert output.score is not None


def test_a_generation_that_is_stopped_before_its_first_token(model):
    output = piece(model, body()).write(job(stop=True, reason="client"), None)
    assert (output.status, output.score, output.timing.gen_count) == ("cancelled", None, 0)


def test_a_generation_that_never_had_its_turn(model):
    answer = members(piece(model, body()).unwritten(job(reason="client")))
    assert (answer["status"], answer["cancel_reason"]) == ("cancelled", "client")
    assert answer["score"] is None
    assert answer["timing"]["gen_count"] == 0
    assert answer["tokens"]["tokens_per_second"] is None


def test_a_plan(model):
    answer = members(piece(model, body([1, 2])).plan())
    assert answer == {
        "request_id": "mine",
        "model": "tiny",
        "status": "planned",
        "model_dim": 4,
        "plan": [
            {"window": [0, 4], "autoregressive": False, "generate": {"0": [bar]}} for bar in (1, 2)
        ],
        "dropped_context": [],
        "warnings": [],
    }


def test_several_candidates(model):
    answer = members(piece(model, body(num_candidates=3)).write(job(), None))
    candidates, summary = answer["candidates"], answer["summary"]
    assert not answer.keys() & {"score", "seed", "attempts"}
    assert (answer["status"], answer["base_seed"]) == ("completed", 7)
    assert [candidate["seed"] for candidate in candidates] == [7, 8, 9]
    for candidate in candidates:
        alone = members(piece(model, body(seed=candidate["seed"])).write(job(), None))
        assert candidate["score"] == alone["score"]
        assert (candidate["error"], candidate["truncated"]) == (None, False)
    assert summary == {
        "requested": 3,
        "succeeded": 3,
        "failed": 0,
        "cancelled": 0,
        "failures": [],
    }
    assert answer["timing"]["gen_count"] == sum(each["gen_count"] for each in candidates)


def test_candidates_that_fail(model):
    request = body(max_attempts=1, novelty_threshold=0.01, density_hard_limit=0, num_candidates=2)
    request.score.tracks[0].bars[1].notes = [Note(60, 90, 0, 480), Note(64, 90, 960, 480)]
    request.request.tracks[0].controls = {"remix": {"amount": 0.01}}
    answer = piece(model, request).write(job(), None)
    assert answer.status == "completed"
    assert answer.summary.failed == 2
    assert [failure.seed for failure in answer.summary.failures] == [7, 8]
    for candidate, failure in zip(answer.candidates, answer.summary.failures, strict=True):
        assert candidate.score is None
        assert "novelty" in candidate.error == failure.reason


def test_candidates_that_are_stopped(model):
    answer = piece(model, body([1, 2], num_candidates=2)).write(StoppedAfter(5, "client"), None)
    assert (answer.status, answer.cancel_reason) == ("cancelled", "client")
    assert [candidate.error for candidate in answer.candidates] == ["cancelled", "cancelled"]
    assert (answer.summary.requested, answer.summary.cancelled) == (2, 2)
    assert answer.summary.failures == []


def test_candidates_that_never_had_their_turn(model):
    answer = piece(model, body(num_candidates=2)).unwritten(job(reason="client"))
    assert [(c.seed, c.score, c.error) for c in answer.candidates] == [
        (7, None, "cancelled"),
        (8, None, "cancelled"),
    ]
    assert answer.summary.cancelled == 2


def test_a_stream_tells_every_note_of_the_result(model):
    frames = []
    answer = members(piece(model, body([1, 2])).write(job(), frames.append))
    told = [note for frame in frames if frame.type == "notes" for note in frame.notes]
    assert {frame.type for frame in frames} <= {"notes", "progress"}
    for bar in (1, 2):
        written = answer["score"]["tracks"][0]["bars"][bar]["notes"]
        assert heard(note.model_dump() for note in told if note.bar == bar) == heard(written) != []
    assert {note.track for note in told} == {0}
    progress = [frame.progress for frame in frames]
    assert progress[-1].generated_tokens <= answer["timing"]["gen_count"]
    assert progress[-1].max_context_tokens == 2048
    assert {each.attempt for each in progress} == {1}


def test_what_cannot_be_done_is_refused(model):
    with pytest.raises(RequestValidationError):
        piece(model, body([9]))


def test_what_fails_fails(model):
    request = body(max_attempts=1, novelty_threshold=0.01, density_hard_limit=0)
    request.score.tracks[0].bars[1].notes = [Note(60, 90, 0, 480), Note(64, 90, 960, 480)]
    request.request.tracks[0].controls = {"remix": {"amount": 0.01}}
    doomed = piece(model, request)
    with pytest.raises(GenerationError, match="novelty"):
        doomed.write(job(), None)


def test_warnings_of_validation_reach_the_client(model):
    request = body(temperature_escalation=5.0)
    assert "temperature_escalation" in piece(model, request).plan().warnings[0]


def test_only_so_many_warnings_reach_the_client(model):
    request = piece(model, body(), ["'x' is not known"])
    request.session.warnings[:] = [f"bar {bar} is odd" for bar in range(30)]
    told = request.plan().warnings
    assert told == ["'x' is not known", *request.session.warnings[:20], "10 more warnings"]


def test_info():
    info = describe(engine(), TINY, "other", device="cuda:0")
    assert (info.model, info.default_model, info.checkpoint) == ("tiny", "other", "models/tiny.pt")
    levels = {
        "note_density": "track",
        "max_polyphony": "track",
        "bar_max_polyphony": "bar",
        "bar_note_density": "bar",
        "pitch_class_set": "bar",
    }
    assert info.attribute_levels == levels
    assert info.attributes.keys() == info.attribute_track_types.keys() == levels.keys()
    assert info.attributes["note_density"] == 10
    assert info.attribute_track_types["note_density"] == "drum"
    assert info.time_signatures == ["4/4", "3/4"]
    assert (info.resolution, info.device, info.version) == (12, "cuda:0", __version__)
    assert (info.max_parallel, info.precision) == (2, "fp32")


def test_capabilities():
    can = describe(engine(), TINY, "tiny", device="cpu").capabilities
    assert (can.note_density, can.max_polyphony, can.tension) == (True, True, False)
    assert not can.supports_token_mask
    assert can.supports_streaming
    assert can.supports_pitch_mask
    assert can.supports_rhythm_mask
    assert can.supports_remix
    assert can.pitch_mask_scale_presets[:3] == ["blues", "chromatic", "dorian"]
    assert can.rhythm_mask_grid_units[0] == "eighth"
    assert can.model_dim_options == [2, 4]
    assert can.max_context_tokens == 2048
    assert not can.switchable_velocity
    assert can.genres == ["jazz", "pop"]


def test_capabilities_follow_the_encoder():
    can = describe(
        engine(**SWITCHABLE, supports_mask_bar_token=True), TINY, "tiny", device=""
    ).capabilities
    assert can.switchable_velocity
    assert can.switchable_microtiming
    assert can.supports_token_mask


@pytest.fixture
def loading(monkeypatch):
    """What would be looked up and loaded."""
    calls = []

    def resolve(name, *, repo, filename, token):
        calls.append((name, repo, filename, token))
        return "cached"

    def from_checkpoint(path, *, device, parallel, precision):
        calls.append((str(path), str(device), parallel, precision))
        return engine()

    monkeypatch.setattr(generation.hub, "resolve", resolve)
    monkeypatch.setattr(generation.InferenceEngine, "from_checkpoint", from_checkpoint)
    return calls


def entry(**members):
    return ModelEntry(id="x", label="x", device="cpu", **members)


def test_loading_a_local_checkpoint(loading):
    model = LoadedModel.load(entry(ckpt="x.pt", max_parallel=2, precision="int8"), "y")
    assert loading == [("x.pt", "cpu", 2, "int8")]
    assert (model.info.model, model.info.default_model, model.info.device) == ("x", "y", "cpu")


def test_loading_a_published_checkpoint(loading):
    LoadedModel.load(entry(pretrained="yellow"), "x")
    repository = {"pretrained": "a/b", "hf_filename": "c.pt", "hf_repo": "d/e"}
    LoadedModel.load(entry(**repository, hf_token="secret"), "x")
    assert loading == [
        ("yellow", generation.hub.DEFAULT_REPO, None, None),
        ("cached", "cpu", 1, None),
        ("a/b", "d/e", "c.pt", "secret"),
        ("cached", "cpu", 1, None),
    ]


def test_loading_what_is_not_there(tmp_path):
    with pytest.raises(CheckpointError):
        LoadedModel.load(entry(ckpt=str(tmp_path / "none.pt")), "x")
