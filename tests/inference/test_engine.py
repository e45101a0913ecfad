"""Engines from checkpoint files, and on several threads."""

import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Unfinished
from functools import partial

import pytest

from midigpt.errors import CheckpointError, DeviceError, EncoderConfigError
from midigpt.inference import GenerationRequest, InferenceEngine
from midigpt.model.checkpoint import save_checkpoint
from tests.inference.conftest import ENCODER, random_engine
from tests.inference.fakes import FakeDecoder
from tests.inference.sessions import CONTEXT, INFILL, asked

REQUEST = {
    "tracks": [{"id": 0, "bars": [1]}, {"id": 1, "bars": []}],
    "config": {"seed": 7, "density_hard_limit": 3},
}


@pytest.fixture
def saved(tmp_path):
    """Write the network of an engine, and an encoder config, as a checkpoint."""

    def written(engine, encoder):
        save_checkpoint(tmp_path / "model.safetensors", engine.decoder._model, encoder)
        return tmp_path / "model.safetensors"

    return written


def test_an_engine_from_a_file_makes_the_same_music(saved, engine, score):
    path = saved(engine, ENCODER)
    loaded = InferenceEngine.from_checkpoint(path, device="cpu", precision="fp32")
    first, second = (
        each.session(score, GenerationRequest.from_dict(REQUEST)).run() for each in (loaded, engine)
    )
    assert first == second


def test_a_network_with_another_number_of_tokens_than_its_encoder_is_refused(saved, engine):
    path = saved(engine, ENCODER | {"supports_mask_bar_token": True})
    with pytest.raises(CheckpointError, match=r"model\.safetensors: the network has \d+ tokens"):
        InferenceEngine.from_checkpoint(path, device="cpu")


@pytest.mark.parametrize("missing", ["Track", "TrackEnd", "Bar"])
def test_an_encoder_without_tokens_for_tracks_and_bars_is_refused(missing):
    types = {"PieceStart": 2, "Track": 2, "TrackEnd": 1, "Bar": 1, "BarEnd": 1, "NoteOnset": 128}
    domains = [{"type": t, "domain_size": n} for t, n in types.items() if t != missing]
    with pytest.raises(EncoderConfigError, match=f"token_domains has no {missing}"):
        random_engine({"resolution": 12, "token_domains": domains})


def test_a_device_that_is_not_there(saved, engine):
    with pytest.raises(DeviceError):
        InferenceEngine.from_checkpoint(saved(engine, ENCODER), device="cuda:99")


def test_warming_up_leaves_nothing_behind():
    engine = random_engine()
    engine.warmup()
    assert engine.decoder._rows == {}


def test_how_weights_are_held(saved, engine):
    path = saved(engine, ENCODER)
    for precision in ("fp32", "fp16", "int8"):
        loaded = InferenceEngine.from_checkpoint(path, device="cpu", precision=precision)
        assert loaded.decoder.precision == precision
    assert InferenceEngine.from_checkpoint(path, device="cpu").decoder.precision == "fp16"


class TestSideBySide:
    """Threads share the network, never a decoder."""

    def test_each_result_is_that_of_its_request_alone(self, saved, engine, score):
        path = saved(engine, ENCODER)
        parallel = InferenceEngine.from_checkpoint(path, device="cpu", parallel=3, precision="fp32")
        sessions = [asked(parallel, score, INFILL, CONTEXT, seed=seed) for seed in range(4)]
        with ThreadPoolExecutor(4) as threads:
            together = list(threads.map(lambda session: session.run(), sessions))
        alone = [asked(engine, score, INFILL, CONTEXT, seed=seed).run() for seed in range(4)]
        assert together == alone

    def test_as_many_runs_as_there_are_decoders(self, score):
        vocab_size = len(random_engine().language.tokenizer.vocabulary)
        met = threading.Barrier(2)
        decoders = [FakeDecoder(vocab_size), FakeDecoder(vocab_size)]
        for decoder in decoders:
            decoder.prefill = partial(after_meeting, met, decoder.prefill)
        engine = InferenceEngine(random_engine().language, *decoders)
        sessions = [asked(engine, score, INFILL | {"bars": [1]}, CONTEXT) for _ in range(2)]
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda session: session.run(), sessions))
        assert [len(decoder.prefills) for decoder in decoders] == [1, 1]

    def test_replays_wait_for_a_decoder_too(self, engine, score):
        session = asked(engine, score, INFILL, CONTEXT)
        with ThreadPoolExecutor(1) as threads:
            with engine.decoders.lend():
                replay = threads.submit(session.score_from_tokens, [1, 2])
                with pytest.raises(Unfinished):
                    replay.result(0.1)
            assert replay.result(10)["n_tokens"] == 2

    def test_at_least_one_run(self, saved, engine):
        with pytest.raises(ValueError, match="parallel is 0; it must be at least 1"):
            InferenceEngine.from_checkpoint(saved(engine, ENCODER), parallel=0)


def after_meeting(barrier, prefill, *args):
    barrier.wait(10)
    return prefill(*args)
