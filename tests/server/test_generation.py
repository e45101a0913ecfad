import json
import threading
from types import SimpleNamespace

import pytest

from midigpt import Note, __version__
from midigpt.errors import CheckpointError, GenerationError, RequestValidationError
from midigpt.inference.engine import InferenceEngine
from midigpt.inference.language import Language
from midigpt.server import generation
from midigpt.server.backend import as_json
from midigpt.server.capabilities import describe
from midigpt.server.generation import LoadedModel, names
from midigpt.server.schemas import GenerateInput
from midigpt.server.settings import Settings
from tests.inference.asking import ENCODER, SWITCHABLE
from tests.inference.fakes import FakeDecoder


def engine(**changes):
    language = Language.of(ENCODER | changes)
    return InferenceEngine(language, FakeDecoder(len(language.tokenizer.vocabulary)))


@pytest.fixture(scope="module")
def model():
    loaded = engine()
    return LoadedModel(loaded, describe(loaded, "tiny", "models/tiny.pt", device="cpu"))


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


def test_the_answer(model):
    answer = json.loads(as_json(model.piece(body(), ["'x' is not known"]).write(job())))
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
    scores = [model.piece(body(), []).write(job()).score for _ in range(2)]
    assert scores[0] == scores[1]
    assert model.piece(body(seed=8), []).write(job()).score != scores[0]


def test_a_generation_that_is_stopped(model):
    output = model.piece(body(), []).write(job(stop=True, reason="time_limit"))
    assert (output.status, output.cancel_reason) == ("cancelled", "time_limit")
    assert output.score is not None


def test_a_generation_that_never_had_its_turn(model):
    answer = json.loads(as_json(model.piece(body(), []).unwritten(job(reason="client"))))
    assert (answer["status"], answer["cancel_reason"]) == ("cancelled", "client")
    assert answer["score"] is None
    assert answer["timing"]["gen_count"] == 0
    assert answer["tokens"]["tokens_per_second"] is None


def test_a_plan(model):
    answer = json.loads(as_json(model.piece(body([1, 2]), []).plan()))
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


def test_what_cannot_be_done_is_refused(model):
    with pytest.raises(RequestValidationError):
        model.piece(body([9]), [])


def test_what_fails_fails(model):
    request = body(max_attempts=1, novelty_threshold=0.01, density_hard_limit=0)
    request.score.tracks[0].bars[1].notes = [Note(60, 90, 0, 480), Note(64, 90, 960, 480)]
    request.request.tracks[0].controls = {"remix": {"amount": 0.01}}
    piece = model.piece(request, [])
    with pytest.raises(GenerationError, match="novelty"):
        piece.write(job())


def test_warnings_of_validation_reach_the_client(model):
    request = body(temperature_escalation=5.0)
    assert "temperature_escalation" in model.piece(request, []).plan().warnings[0]


def test_info():
    info = describe(engine(), "tiny", "models/tiny.pt", device="cuda:0")
    assert (info.model, info.default_model, info.checkpoint) == ("tiny", "tiny", "models/tiny.pt")
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


def test_capabilities():
    can = describe(engine(), "tiny", "tiny", device="cpu").capabilities
    assert (can.note_density, can.max_polyphony, can.tension) == (True, True, False)
    assert not can.supports_token_mask
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
        engine(**SWITCHABLE, supports_mask_bar_token=True), "x", "x", device=""
    ).capabilities
    assert can.switchable_velocity
    assert can.switchable_microtiming
    assert can.supports_token_mask


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(), ("untrained", "untrained")),
        (Settings(ckpt="models/yellow.pt"), ("yellow", "models/yellow.pt")),
        (Settings(ckpt="models/yellow"), ("yellow", "models/yellow")),
        (Settings(pretrained="yellow"), ("yellow", "yellow")),
        (Settings(pretrained="yellow", hf_repo="me/mine"), ("yellow", "me/mine/yellow")),
        (Settings(pretrained="me/mine", hf_filename="x/y.pt"), ("y", "me/mine/x/y.pt")),
    ],
)
def test_names(settings, expected):
    assert names(settings) == expected


def test_a_directory_is_called_by_its_whole_name(tmp_path, monkeypatch):
    folder = tmp_path / "yellow.v2"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert names(Settings(ckpt=str(folder))) == ("yellow.v2", str(folder))
    assert names(Settings(ckpt=".")) == ("yellow.v2", ".")


@pytest.fixture
def loading(monkeypatch):
    """What would be looked up and loaded."""
    calls = []

    def resolve(name, *, repo, filename):
        calls.append((name, repo, filename))
        return "cached"

    def from_checkpoint(path, *, device):
        calls.append((str(path), str(device)))
        return engine()

    monkeypatch.setattr(generation.hub, "resolve", resolve)
    monkeypatch.setattr(generation.InferenceEngine, "from_checkpoint", from_checkpoint)
    return calls


def test_loading_a_local_checkpoint(loading):
    model = LoadedModel.load(Settings(ckpt="x.pt", device="cpu"))
    assert loading == [("x.pt", "cpu")]
    assert (model.info.model, model.info.device) == ("x", "cpu")


def test_loading_a_published_checkpoint(loading):
    LoadedModel.load(Settings(pretrained="yellow", device="cpu"))
    LoadedModel.load(Settings(pretrained="a/b", hf_filename="c.pt", hf_repo="d/e", device="cpu"))
    assert loading == [
        ("yellow", generation.hub.DEFAULT_REPO, None),
        ("cached", "cpu"),
        ("a/b", "d/e", "c.pt"),
        ("cached", "cpu"),
    ]


def test_loading_what_is_not_there(tmp_path):
    with pytest.raises(CheckpointError):
        LoadedModel.load(Settings(ckpt=str(tmp_path / "none.pt"), device="cpu"))
