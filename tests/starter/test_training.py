"""Training: lessons in files, batches of them, and steps that lower the loss."""

import json
import sys
from dataclasses import replace

import numpy as np
import prepare as prepare_script
import pytest
import torch
import train as train_script
from composer.dice import dice
from corpus import Corpus
from learning import Recipe, held_out_loss, new_model, optimizers, tensors, update
from prepare import lessons_of
from train import Training, train, write_checkpoint

from midigpt.model import load_checkpoint
from tests.starter.conftest import FOLDER

TINY = Recipe(steps=4, batch=1024, warmup=2, width=32, layers=1, heads=2, saved_every=2)


@pytest.fixture(scope="module")
def corpus(language):
    return Corpus.of(
        one for n in range(3) for one in lessons_of("test", n, language) if len(one.tokens) < 800
    )


def test_a_corpus_comes_back_from_its_files(corpus, tmp_path):
    corpus.write(tmp_path / "training 000000.npz")
    corpus.write(tmp_path / "training 000100.npz")
    both = Corpus.read(tmp_path, "training")
    assert len(both) == 2 * len(corpus)
    again = both.padded([len(corpus)])
    assert all(np.array_equal(a, b) for a, b in zip(again, corpus.padded([0]), strict=True))
    with pytest.raises(FileNotFoundError, match=r"run models/starter/prepare\.py"):
        Corpus.read(tmp_path, "other")


def test_batches_hold_every_lesson_once_within_their_size(corpus):
    batches = corpus.batches(dice(1), most=2000)
    assert sorted(number for batch in batches for number in batch) == [*range(len(corpus))]
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(corpus.lengths[n] for n in batch) <= 2000
    assert batches == corpus.batches(dice(1), most=2000) != corpus.batches(dice(2), most=2000)


def test_padding_prompt_and_continuation_are_told_apart(corpus):
    tokens, places, kinds = corpus.padded([0, 1])
    assert tokens.shape[1] % 64 == 0
    for row in (0, 1):
        length = corpus.lengths[row]
        prompt = corpus.prompts[row]
        assert kinds[row].tolist() == [
            *[1] * prompt,
            *[2] * (length - prompt),
            *[0] * (tokens.shape[1] - length),
        ]
        assert places[row, 0] == 0
        assert (np.diff(places[row, :length].astype(int)) >= 1).all()


def test_some_steps_lower_the_loss(corpus):
    model = new_model(TINY, 647)
    updaters = optimizers(model, TINY)
    batch = tensors(corpus, [0, 1], torch.device("cpu"))
    found = [update(model, updaters, batch) for _ in range(8)]
    assert found[-1] < found[0] - 0.2


def test_a_training_goes_on_where_it_was_stopped(corpus, tmp_path):
    whole = Training(TINY, new_model(TINY, 647), [])
    whole.updaters = optimizers(whole.model, TINY)
    train(whole, corpus, corpus, tmp_path, tmp_path / "losses.csv")
    rows = (tmp_path / "losses.csv").read_text().splitlines()
    assert rows[0].startswith("step,minutes,training,held-out prompt,held-out continuation")
    assert [row.split(",")[0] for row in rows[1:]] == ["2", "4"]

    again = Training(TINY, new_model(replace(TINY, seed=9), 647), [])
    again.updaters = optimizers(again.model, TINY)
    again.load(tmp_path / "training.pt")
    assert again.step == 4
    assert held_out_loss(again.model, corpus) == held_out_loss(whole.model, corpus)
    with pytest.raises(SystemExit, match="another recipe"):
        Training(replace(TINY, rate=1.0), again.model, again.updaters).load(
            tmp_path / "training.pt"
        )


def test_the_rate_rises_and_falls():
    rates = [Recipe().rate_at(step, step / Recipe().steps) for step in range(Recipe().steps)]
    highest = rates.index(max(rates))
    assert 0 < highest <= Recipe().warmup
    assert rates[0] < 0.1 * rates[highest]
    assert rates[-1] < 0.03 * rates[highest]


def test_the_checkpoint_is_half_precision_and_says_what_it_is(tmp_path):
    model = new_model(TINY, 647)
    write_checkpoint(tmp_path / "x.safetensors", model)
    bundle = load_checkpoint(tmp_path / "x.safetensors", "cpu")
    assert bundle.encoder_config == json.loads((FOLDER / "encoder.json").read_text())
    held = bundle.model.transformer.wte.weight
    assert torch.equal(held, model.transformer.wte.weight.half().float())
    assert (tmp_path / "x.safetensors").stat().st_size < 2.2 * sum(
        p.numel() for p in model.parameters()
    )


@pytest.mark.parametrize(
    ("script", "flag"), [(prepare_script, "--pieces"), (train_script, "--rate")]
)
def test_the_scripts_say_what_they_take(script, flag, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["script", "--help"])
    with pytest.raises(SystemExit):
        script.main()
    assert flag in capsys.readouterr().out
