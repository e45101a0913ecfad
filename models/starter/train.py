"""Trains the starter: reads the lessons that ``prepare.py`` wrote, writes a checkpoint.

A GPU is used where there is one, else the CPU; either way in bfloat16 with float32 weights. It
can be stopped and started again at any time: it goes on from its last saved state.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import torch
from composer.dice import dice
from corpus import HELD_OUT, HERE, TRAINING, WORK, Corpus, starter_language
from learning import Recipe, held_out_loss, new_model, optimizers, tensors, update
from tqdm import tqdm  # type: ignore[import-untyped]  # tqdm has no type information

from midigpt.model import GPT2LMHeadModel, resolve_device, save_checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

STATE = "training.pt"


@dataclass
class Training:
    """A training under way.

    Attributes:
        recipe: how it goes.
        model: the network.
        updaters: the optimizers.
        step: updates made.
        seconds: time spent so far.
        log: held-out and training losses, a row for every saved state.
    """

    recipe: Recipe
    model: GPT2LMHeadModel
    updaters: list[torch.optim.Optimizer]
    step: int = 0
    seconds: float = 0.0
    log: list[dict[str, float]] = field(default_factory=list)

    def load(self, path: Path) -> None:
        """Go on from a saved state, if there is one; the recipe may only be longer or shorter."""
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        saved, own = Recipe(**state["recipe"]), self.recipe
        same_length = replace(
            saved, steps=own.steps, minutes=own.minutes, saved_every=own.saved_every
        )
        if same_length != own:
            raise SystemExit(f"{path} is of another recipe, {saved}; remove it")
        self.model.load_state_dict(state["model"])
        for updater, saved in zip(self.updaters, state["updaters"], strict=True):
            updater.load_state_dict(saved)
        self.step, self.seconds, self.log = state["step"], state["seconds"], state["log"]

    def save(self, path: Path) -> None:
        """Save the state; a file half written is never seen under its name."""
        state = {
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "updaters": [updater.state_dict() for updater in self.updaters],
            "step": self.step,
            "seconds": self.seconds,
            "log": self.log,
        }
        torch.save(state, path.with_suffix(".partial"))
        path.with_suffix(".partial").rename(path)

    @property
    def progress(self) -> float:
        """The share that is done, by steps or by time, whichever is further."""
        spent = self.seconds / (60 * self.recipe.minutes) if self.recipe.minutes else 0.0
        return max(self.step / self.recipe.steps, spent)


def train(training: Training, corpus: Corpus, held_out: Corpus, folder: Path, log: Path) -> None:
    """Train to the end.

    Args:
        training: as far as it is.
        corpus: what it reads.
        held_out: what it is tested on.
        folder: gets the state.
        log: gets the losses, as comma-separated values.
    """
    recipe = training.recipe
    device = training.model.lm_head.weight.device
    batches = islice(_endless(corpus, recipe), training.step, None)
    recent: list[float] = []
    began = time.monotonic() - training.seconds
    with tqdm(total=recipe.steps, initial=training.step, unit="step") as bar:
        while training.progress < 1:
            rate = recipe.rate_at(training.step, training.progress)
            for updater in training.updaters:
                for group in updater.param_groups:
                    group["lr"] = rate
            batch = tensors(corpus, next(batches), device)
            recent.append(update(training.model, training.updaters, batch))
            training.step += 1
            training.seconds = time.monotonic() - began
            bar.update()
            bar.set_postfix(loss=f"{recent[-1]:.3f}", rate=f"{rate:.1e}")
            if training.step % recipe.saved_every == 0 or training.progress >= 1:
                _report(training, mean(recent), held_out, log)
                training.save(folder / STATE)
                recent.clear()


def _endless(corpus: Corpus, recipe: Recipe) -> Iterator[list[int]]:
    """Batches without end, in the same order every time."""
    epoch = 0
    while True:
        yield from corpus.batches(dice(recipe.seed, "epoch", epoch), recipe.batch)
        epoch += 1


def _report(training: Training, recent: float, held_out: Corpus, log: Path) -> None:
    found = held_out_loss(training.model, held_out)
    minutes = round(training.seconds / 60, 1)
    row = {"step": training.step, "minutes": minutes, "training": recent} | found
    training.log.append({name: round(value, 4) for name, value in row.items()})
    tqdm.write(str(training.log[-1]))
    with log.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerows(training.log)


def write_checkpoint(path: Path, model: GPT2LMHeadModel) -> None:
    """Write the network in half precision, which readers turn into float32."""
    encoder_config = json.loads((HERE / "encoder.json").read_text(encoding="utf-8"))
    halved = GPT2LMHeadModel(model.config)
    halved.load_state_dict(model.state_dict())
    halved.half()
    save_checkpoint(path, halved, encoder_config, description="starter: trained on composed music")


def main() -> None:
    """Train and write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for member in fields(Recipe):
        flag, default = f"--{member.name.replace('_', '-')}", member.default
        parser.add_argument(flag, type=type(default), default=default)
    parser.add_argument("--folder", type=Path, default=WORK, help="lessons and state")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0: as torch likes")
    parser.add_argument("--compile", action="store_true", help="faster, where there is a compiler")
    parser.add_argument("--log", type=Path, default=HERE / "figures" / "losses.csv")
    parser.add_argument("--checkpoint", type=Path, default=HERE / "starter.safetensors")
    arguments = vars(parser.parse_args())
    recipe = Recipe(**{member.name: arguments[member.name] for member in fields(Recipe)})
    if arguments["threads"]:
        torch.set_num_threads(arguments["threads"])
    folder = arguments["folder"]
    arguments["log"].parent.mkdir(exist_ok=True)
    corpus, held_out = Corpus.read(folder, TRAINING), Corpus.read(folder, HELD_OUT)
    tokens = int(corpus.lengths.sum())
    print(f"{len(corpus)} lessons, {tokens} tokens; {len(held_out)} lessons held out")
    vocabulary = len(starter_language().tokenizer.vocabulary)
    model = new_model(recipe, vocabulary).to(resolve_device(arguments["device"]))
    if arguments["compile"]:
        model.transformer.compile(dynamic=True)
    training = Training(recipe, model, optimizers(model, recipe))
    training.load(folder / STATE)
    train(training, corpus, held_out, folder, arguments["log"])
    write_checkpoint(arguments["checkpoint"], model)


if __name__ == "__main__":
    main()
