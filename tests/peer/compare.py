"""Compares this implementation with the reference, black box, on cases drawn from a seed.

::

    python -m tests.peer.compare --seed 1                     # all cases
    python -m tests.peer.compare --seed 1 --case generate-17  # one, with both answers

Exits with 1 if there is a difference that no known defect of the reference explains.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tests.contract.vectors import FOLDER
from tests.peer import ours
from tests.peer.abilities import checkpoints, encoders
from tests.peer.draw import KINDS, draw_cases
from tests.peer.judge import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.peer.draw import Case
    from tests.peer.outcome import Outcome

    Answer = dict[str, Any]

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / ".venv-peer" / "bin" / "python"
"""The interpreter that has the reference; ``make peer`` puts it there."""

WORKER = Path(__file__).with_name("reference_worker.py")
LONGEST = 1500
"""Characters of a difference that are printed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, report, and return the exit status."""
    parser = argparse.ArgumentParser(description="Compare with the reference implementation.")
    parser.add_argument("--seed", type=int, default=1, help="what the cases are drawn from")
    parser.add_argument("--case", help="only the case of this id, with both answers")
    options = parser.parse_args(arguments)
    for needed in (REFERENCE, FOLDER):
        if not needed.exists():
            parser.error(f"{needed} is missing: run make peer, with MIDIGPT_VECTORS set if need be")
    began = time.monotonic()
    # what we warn of is in the answers or is no difference
    logging.getLogger("midigpt").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    cases = list(draw_cases(options.seed, options.case))
    if not cases:
        parser.error(f"no case {options.case}")
    outcomes = compare(cases, show=options.case is not None)
    say(*report(options.seed, cases, outcomes), f"{time.monotonic() - began:.0f} seconds")
    return int(any(outcome.failures for outcome in outcomes))


def compare(cases: Sequence[Case], *, show: bool = False) -> list[Outcome]:
    """Put the cases to both sides, at the same time, and compare the answers."""
    with ThreadPoolExecutor(1) as other:
        future = other.submit(ask_reference, cases)
        # as JSON, because theirs come as that
        our_answers = [json.loads(json.dumps(ours.answer(case))) for case in cases]
        answers = zip(cases, our_answers, future.result(), strict=True)
    outcomes = []
    for case, mine, theirs in answers:
        if show:
            say(f"case {json.dumps(case)}", f"ours {json.dumps(mine)}")
            say(f"theirs {json.dumps(theirs)}")
        outcomes.append(judge(case, mine, theirs))
    return outcomes


def ask_reference(cases: Sequence[Case]) -> list[Answer]:
    """The reference's answers. A case that ends its process is answered with how it ended."""
    answers: list[Answer] = []
    while len(answers) < len(cases):
        given, ending = _ask(cases[len(answers) :])
        answers += given
        if len(answers) < len(cases):
            answers.append({"crash": ending})
    return answers


def _ask(cases: Sequence[Case]) -> tuple[list[Answer], str]:
    """Answers to the first cases, all if nothing goes wrong, and how the process ended."""
    with tempfile.TemporaryDirectory() as folder:
        questions, answers = Path(folder, "cases.jsonl"), Path(folder, "answers.jsonl")
        answers.touch()
        setup = {"encoders": encoders(), "checkpoints": checkpoints()}
        questions.write_text("".join(f"{json.dumps(line)}\n" for line in (setup, *cases)))
        command = [REFERENCE, WORKER, questions, answers]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if ended.returncode > 0:
            raise RuntimeError(f"the reference worker failed: {ended.stderr[-2000:]}")
        lines = answers.read_text().splitlines()
    return [json.loads(line) for line in lines], f"signal {-ended.returncode}"


def report(seed: int, cases: Sequence[Case], outcomes: Sequence[Outcome]) -> list[str]:
    """Every difference with its reproduction, then the counts."""
    lines = []
    for case, outcome in zip(cases, outcomes, strict=True):
        again = f"make peer SEED={seed} CASE={case['id']}"
        if outcome.known:
            lines.append(f"known    {_counted(outcome.known)}    {again}")
        told = [f"         {failure:.{LONGEST}}" for failure in outcome.failures]
        lines += [f"FAILURE  {again}", *told] if told else []
    lines += ["", f"{'':10} {'cases':>7} {'compared':>9} {'undecided':>10} {'known':>7} failures"]
    by_kind = {
        kind: [o for c, o in zip(cases, outcomes, strict=True) if c["kind"] == kind]
        for kind in KINDS
    }
    for name, chosen in (*by_kind.items(), ("all", outcomes)):
        lines.append(
            f"{name:10} {len(chosen):7} {sum(o.compared for o in chosen):9}"
            f" {sum(o.undecided for o in chosen):10} {sum(bool(o.known) for o in chosen):7}"
            f" {sum(bool(o.failures) for o in chosen):8}"
        )
    known = sum((outcome.known for outcome in outcomes), Counter[str]())
    return [*lines, "", f"known differences: {_counted(known)}"]


def _counted(known: Counter[str]) -> str:
    return ", ".join(f"{name} {count}x" for name, count in sorted(known.items())) or "none"


def say(*lines: str) -> None:
    """Print lines."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
