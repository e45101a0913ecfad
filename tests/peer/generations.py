"""Whether two generations agree, token by token, and what explains it if they do not.

The first token that differs ends the comparison: everything after it depends on it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from midigpt.inference.rules import LEAST_BAR
from midigpt.tokens.grammar_types import BAR_ATTRIBUTES
from tests.contract.vectors import unpack
from tests.peer.forms import packed
from tests.peer.legal import LEVELS, Place, tokens_in
from tests.peer.outcome import first_difference, to_blame
from tests.peer.recorded import RecordedStep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.peer.draw import Case
    from tests.peer.legal import Runs
    from tests.peer.outcome import Outcome

    Answer = dict[str, Any]
    Word = tuple[str, int]

MARGIN = 1e-3
"""The lead in logits below which a greedy choice hangs on rounding errors."""

POLYPHONY = {type_ for type_ in LEVELS if "Polyphony" in type_}
FRAME = {"Bar", "TimeSig", "FillInPlaceholder", "BarEnd"}


def judge_generation(case: Case, ours: Answer, theirs: Answer, outcome: Outcome) -> None:
    """Compare plans, prompts, legal sets, tokens and results."""
    names = ("error", "plan", "generated_bars", "dropped")
    left, right = ({name: side.get(name) for name in names} for side in (ours, theirs))
    if left != right:
        outcome.settle(f"ours {left}, theirs {right}")
        return
    common = range(min(len(ours["steps"]), len(theirs["steps"])))
    if all(
        _judge_step(RecordedStep(case, ours, number), theirs["steps"][number], outcome)
        for number in common
    ):
        _judge_end(case, ours, theirs, outcome)
    outcome.compared = 0 if outcome.undecided else len(ours["steps"]) + 1


def _judge_end(case: Case, ours: Answer, theirs: Answer, outcome: Outcome) -> None:
    names = ("truncated", "gen_count")
    ends = [
        [len(side["steps"]), "failure" in side, *(side[name] for name in names)]
        for side in (ours, theirs)
    ]
    if ends[0] != ends[1]:
        difference = f"steps, failed, {names}: ours {ends[0]}, theirs {ends[1]}"
        outcome.settle(difference, *_end_defects(case, ours, theirs))
    elif "failure" not in ours:
        _judge_result(case, ours, theirs["result"], outcome)


def _end_defects(case: Case, ours: Answer, theirs: Answer) -> list[str]:
    """What lets us go on where the reference gives up because a prompt does not fit."""
    number = len(theirs["steps"])
    if "failure" not in theirs or not theirs["unfit"] or len(ours["steps"]) <= number:
        return []
    step = RecordedStep(case, ours, number)
    prompts = (step.words(tokens) for tokens in (step.record["prompt"], theirs["unfit"][-1]))
    return ["our bars make room"] if _is_made_shorter(step, *prompts) else []


def _judge_result(case: Case, answer: Answer, theirs: Answer, outcome: Outcome) -> None:
    """Written bars are to be equal, all others as they were sent."""
    ours = answer["result"]
    heads = [[side["resolution"], side["tempo"]] for side in (ours, theirs)]
    if heads[0] != heads[1]:
        outcome.settle(f"resolution and tempo: ours {heads[0]}, theirs {heads[1]}")
        return
    sent = packed(unpack(case["score"]).resample(ours["resolution"]))
    changed = False
    for t, track in enumerate(sent["tracks"]):
        written = answer["generated_bars"].get(str(t), [])
        for b, bar in enumerate(track["bars"]):
            mine, other = (side["tracks"][t]["bars"][b]["notes"] for side in (ours, theirs))
            expected = other if b in written else bar["notes"]
            changed |= b not in written and other != mine
            if mine != expected:
                outcome.settle(f"bar {b} of track {t}: ours {mine}, expected {expected}")
    if changed:
        outcome.settle("theirs changed bars it was not to write", "inference Q-14")


def _judge_step(step: RecordedStep, theirs: Answer, outcome: Outcome) -> bool:
    """Whether all was the same, so that what follows can be compared."""
    ours = step.record
    if ours["prompt"] != theirs["prompt"]:
        words = [step.words(side["prompt"]) for side in (ours, theirs)]
        difference = f"step {step.number}, prompt {first_difference(*words)}"
        outcome.settle(difference, *_prompt_defects(step, *words))
        return False
    most = max(len(side["legal"]) for side in (ours, theirs))
    return all(_judge_token(step, place, theirs, outcome) for place in range(most))


def _judge_token(step: RecordedStep, place: int, theirs: Answer, outcome: Outcome) -> bool:
    """Whether the legal sets before a token are the same or explained, and it is the same."""
    sides = (step.record, theirs)
    legal = [_at(side["legal"], place) for side in sides]
    tokens = [_at(side["generated"], place) for side in sides]
    told = f"step {step.number}, token {place}"
    if legal[0] != legal[1]:
        defects = Place(step, place).defects(*legal)
        outcome.settle(f"{told}, legal: ours {legal[0]}, theirs {legal[1]}", *defects)
        if not defects:
            return False
    if tokens[0] is not None and step.record["margins"][place] < MARGIN:
        outcome.undecided = True
    if tokens[0] == tokens[1]:
        return True
    if _choices(tokens, legal[0]) == _choices(tokens, legal[1]) and not outcome.undecided:
        words = [step.words([token] if token is not None else []) for token in tokens]
        difference = f"{told}: ours {words[0]}, theirs {words[1]}"
        outcome.settle(difference, *_logit_defects(step, place))
    return False


def _at(items: Sequence[Any], place: int) -> Any:
    return items[place] if place < len(items) else None


def _choices(tokens: Sequence[int | None], legal: Runs | None) -> list[bool]:
    """Which of the tokens are legal."""
    return [token in tokens_in(legal) for token in tokens]


def _logit_defects(step: RecordedStep, place: int) -> list[str]:
    """Defects by which logits differ after the same tokens."""
    mode = step.case["request"]["config"].get("mask_mode")
    if step.record["hidden"] and place > 0 and mode == "attention_skip":
        return ["inference Q-04"]
    if step.record["hidden"] and place > 0 and mode == "attention_approx":
        return ["inference Q-05"]
    return ["inference Q-14"] if _flags_are_lost(step) else []


def _flags_are_lost(step: RecordedStep) -> bool:
    """Whether the reference has forgotten which bars are hidden."""
    return step.number > 0 and any(bar.get("future") for bar in step.bars_of_score)


def _window_has_moved(step: RecordedStep) -> bool:
    """Whether this window or one before it begins after the first bar."""
    return any(record["window"][0] > 0 for record in step.answer["steps"][: step.number + 1])


def _prompt_defects(step: RecordedStep, ours: list[Word], theirs: list[Word]) -> list[str]:
    """What makes prompts differ."""
    if _has_unsettled_chord(ours):
        return ["chords of more than 16"]
    if _is_made_shorter(step, ours, theirs):
        return ["our bars make room"]
    notes = [note for bar in step.bars_of_score for note in bar["notes"]]
    wrong_length = any(bar["ts"][0] != bar["ts"][1] for bar in step.bars_of_score)
    touched = {
        "inference Q-03": (_window_has_moved(step), BAR_ATTRIBUTES),
        "inference Q-14": (_flags_are_lost(step), {"MaskBar"}),
        "score S1": (step.case["as_dict"] and wrong_length, LEVELS),
        "tokenizer Q13": (any(note[1] <= 0 for note in notes), {"VelocityLevel"}),
        "attributes 13": (any(note[2] < 0 for note in notes), POLYPHONY),
    }
    return to_blame({n: {*types} for n, (on, types) in touched.items() if on}, ours, theirs)


def _has_unsettled_chord(words: Sequence[Word]) -> bool:
    """Whether there is a chord whose order the reference leaves to an unstable sort."""
    chord: Counter[int] = Counter()
    for type_, value in words:
        if type_ in {"Bar", "TimeAbsolutePos", "FillInStart"}:
            chord = Counter()
        elif type_ == "NoteOnset":
            chord[value] += 1
        if chord.total() > 16 and max(chord.values()) > 1:
            return True
    return False


def _is_made_shorter(step: RecordedStep, ours: list[Word], theirs: list[Word]) -> bool:
    """Whether we left out the oldest bars of a prompt after which there is no room to write."""
    room = step.answer["context"] - len(theirs)
    if step.number == 0 or room > LEAST_BAR * (len(step.targets) + 1):
        return False
    start, end = step.record["window"]
    return any(_emptied(ours, bars) == _emptied(theirs, bars) for bars in range(1, end - start + 1))


def _emptied(words: Sequence[Word], bars: int) -> list[Word]:
    """The prompt without what is in the first bars of each track."""
    kept, bar = [], -1
    for word in words:
        if word[0] in {"Track", "Bar"}:
            bar = -1 if word[0] == "Track" else bar + 1
        if word[0] in FRAME | {"TrackEnd", "FillInStart"} or not 0 <= bar < bars:
            kept.append(word)
    return kept
