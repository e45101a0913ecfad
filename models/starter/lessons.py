"""Lessons: what the model practises on, drawn as a session would put it.

A lesson is one step of a generation request: the prompt that a session would show for it, followed
by the tokens that tell what the piece really has there. Requests are drawn like those of users:
bars to fill in or a track to go on with, in a piece where they are empty or to be rewritten, with
levels asked for or not, with some bars hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from composer.dice import weighted

from midigpt.inference.draft import Draft
from midigpt.inference.levels import Levels, cut
from midigpt.inference.prompt import build
from midigpt.inference.request import GenerationRequest, InferenceConfig, TrackPrompt
from midigpt.inference.steps import Splits, window_steps
from midigpt.inference.task import Task
from midigpt.inference.validate import check_request
from midigpt.score import Bar, Note, Score, Track
from midigpt.tokens import EncodeOptions

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from random import Random

    from midigpt.inference.language import Language
    from midigpt.inference.plan import Step
    from midigpt.inference.prompt import Prompt

    Cell = tuple[int, int]

PLAIN = {"note_density": 5, "max_polyphony": 3}
"""Levels up to which an empty track may be given without saying any level; see :func:`_share`."""


@dataclass(frozen=True)
class Lesson:
    """What the model sees and what it should write.

    Attributes:
        tokens: the prompt without its hidden tokens, and the continuation.
        positions: their places in the context, which count the hidden ones.
        prompt: how many of ``tokens`` belong to the prompt.
    """

    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    prompt: int


@dataclass(frozen=True)
class Exercise:
    """A request about a piece, and the piece.

    Attributes:
        truth: the piece.
        sent: the piece as it is sent, with some of the bars to write empty.
        request: what is asked for.
        asked: levels asked for, by track.
    """

    truth: Score
    sent: Score
    request: GenerationRequest
    asked: dict[int, dict[str, int]] = field(default_factory=dict)


def draw_exercise(rng: Random, piece: Score, language: Language) -> Exercise | None:
    """A request about an excerpt of a piece; None if the draw makes no sense for it."""
    truth = _excerpt(rng, piece)
    levels = [found.track for found in language.analyzer.compute_score(truth)]
    bars = len(truth.tracks[0].bars)
    sizes = [size for size in language.tokenizer.config.num_bars_map or () if size <= bars]
    config = InferenceConfig(
        seed=rng.randrange(2**31),
        model_dim=rng.choice(sizes),
        bars_per_step=weighted(rng, {1: 3, 0: 8, 2: 1.5, 4: 2}),
        tracks_per_step=weighted(rng, {1: 1, 0: 1}),
        mask_mode="attention",
    )
    continued = rng.random() < 0.25
    chosen = _chosen(rng, truth, continued=continued)
    if not chosen:
        return None
    blank = rng.random() < 0.65
    sent = without(truth, {(t, b) for t, found in chosen.items() for b in found} if blank else ())
    asked = {}
    for t in chosen:
        if blank and not continued:
            whole = not any(bar.notes for bar in sent.tracks[t].bars)
            share = _share(rng, truth.tracks[t], levels[t], whole=whole)
            asked[t] = {name: v for name, v in levels[t].items() if rng.random() < share}
    prompts = [
        TrackPrompt(
            id=t,
            bars=chosen.get(t, []),
            autoregressive=continued and t in chosen,
            attributes=asked.get(t, {}),
        )
        for t in range(len(truth.tracks))
    ]
    if rng.random() < 0.1:
        for prompt in prompts:
            free = set[int]() if prompt.autoregressive else set(range(bars)).difference(prompt.bars)
            prompt.mask_bars = [b for b in sorted(free) if rng.random() < 0.2]
    return Exercise(truth, sent, GenerationRequest(prompts, config), asked)


def plan(exercise: Exercise, language: Language) -> tuple[Task, list[Step]]:
    """What a session would make of the request, and the steps it would take."""
    tokenizer = language.tokenizer
    request, _ = check_request(exercise.request, exercise.sent, tokenizer.config, language.analyzer)
    task = Task.of(request, exercise.sent, tokenizer)
    bars = len(exercise.truth.tracks[0].bars)
    return task, window_steps(task, task.window, Splits(), frozenset(), bars)


def lesson(exercise: Exercise, number: int, language: Language) -> Lesson | None:
    """A step of an exercise, all steps before it having met the truth.

    Args:
        exercise: the request and the piece.
        number: which step.
        language: the model's.

    Returns:
        None if a bar that would have to be written is empty: sessions write no such bars.
    """
    task, steps = plan(exercise, language)
    if not all(exercise.truth.tracks[t].bars[b].notes for t, b in steps[number].targets):
        return None
    draft = Draft(task, exercise.sent, language)
    for step in steps[:number]:
        prompt, answer = _played(exercise.truth, draft, task, step, language)
        draft.accept(draft.take(step, prompt, answer))
    return _lesson(*_played(exercise.truth, draft, task, steps[number], language))


def _played(
    truth: Score, draft: Draft, task: Task, step: Step, language: Language
) -> tuple[Prompt, list[int]]:
    """The prompt of a step, and what would have to be written after it."""
    prompt = build(task, step, draft.window(step.window), language.tokenizer)
    if step.autoregressive:
        return prompt, _continuation(truth, step, prompt, language)
    return prompt, _fills(truth, step, language)


def _lesson(prompt: Prompt, answer: Sequence[int]) -> Lesson:
    hidden = {place for start, end in prompt.hidden for place in range(start, end)}
    shown = [place for place in range(len(prompt.tokens)) if place not in hidden]
    total = len(prompt.tokens) + len(answer)
    return Lesson(
        tokens=(*(prompt.tokens[place] for place in shown), *answer),
        positions=(*shown, *range(len(prompt.tokens), total)),
        prompt=len(shown),
    )


def _fills(truth: Score, step: Step, language: Language) -> list[int]:
    """The blocks of a step after the first ``FillInStart``."""
    tracks = []
    for t, b in sorted(step.targets):
        track = truth.tracks[t]
        tracks.append(Track([track.bars[b]], track.instrument, track.track_type))
    options = EncodeOptions(
        multi_fill=frozenset((n, 0) for n in range(len(tracks))),
        window_bars=step.window[1] - step.window[0],
    )
    score = Score(tracks, truth.resolution)
    tokens = language.tokenizer.encode(score, options, compute_attributes=False).tokens
    first = tokens.index(language.tokenizer.vocabulary.encode("FillInStart", 0))
    return tokens[first + 1 :]


def _continuation(truth: Score, step: Step, prompt: Prompt, language: Language) -> list[int]:
    """The rest of the active track up to its ``TrackEnd``."""
    found = language.analyzer.compute_score(truth)[step.active_track]
    active = truth.tracks[step.active_track]
    levels = Levels(found.track, dict(enumerate(found.bars))).as_stored()
    own = Track(active.bars, active.instrument, active.track_type, levels)
    window = cut(Score([own], truth.resolution), step.window)
    whole = language.tokenizer.encode(window, compute_attributes=False).tokens
    opens = {language.tokenizer.vocabulary.encode("Track", kind) for kind in (0, 1)}
    begins = next(place for place, token in enumerate(whole) if token in opens)
    shown = next(n for n, token in enumerate(reversed(prompt.tokens), 1) if token in opens)
    return whole[begins + shown :]


def _excerpt(rng: Random, piece: Score) -> Score:
    """Some bars of a piece, in another key, its tracks in any order and some of them left out."""
    bars = len(piece.tracks[0].bars)
    count = weighted(rng, {4: 2, 8: 3, bars: 4})
    first = rng.randrange(0, bars - count + 1, 4 if rng.random() < 0.8 else 1)
    shift = rng.randint(-5, 6)
    tracks = [t for t in piece.tracks if any(b.notes for b in t.bars[first : first + count])]
    rng.shuffle(tracks)
    tracks = tracks[: rng.randint(1, len(tracks)) if rng.random() < 0.35 else None]
    return Score(
        [
            Track(
                [_moved(bar, 0 if track.is_drum else shift) for bar in track.bars[first:][:count]],
                track.instrument,
                track.track_type,
            )
            for track in tracks
        ],
        piece.resolution,
        piece.tempo,
    )


def _moved(bar: Bar, shift: int) -> Bar:
    notes = [Note(n.pitch + shift, n.velocity, n.onset_ticks, n.duration_ticks) for n in bar.notes]
    return Bar(notes, bar.ts_numerator, bar.ts_denominator)


def _chosen(rng: Random, truth: Score, *, continued: bool) -> dict[int, list[int]]:
    """Bars to write, by track: any that hold notes, or a run up to the end."""
    count = len(truth.tracks)
    bars = len(truth.tracks[0].bars)
    tracks = rng.sample(range(count), min(count, weighted(rng, {1: 5, 2: 2, 3: 1.5, 8: 1.5})))
    if continued:
        first = 0 if rng.random() < 0.5 else rng.randrange(bars)
        return {t: [*range(first, bars)] for t in tracks}
    length = weighted(rng, {1: 1.5, 2: 1.5, 4: 3, bars: 4})
    first = rng.randint(0, max(0, bars - length))
    keep = 1.0 if rng.random() < 0.8 else 0.5
    chosen = {
        t: [
            b
            for b in range(first, min(bars, first + length))
            if truth.tracks[t].bars[b].notes and rng.random() < keep
        ]
        for t in tracks
    }
    return {t: found for t, found in chosen.items() if found}


def _share(rng: Random, track: Track, levels: dict[str, int], *, whole: bool) -> float:
    """The share of a track's levels that is asked for; of an empty track mostly all.

    An empty track that nothing is said about looks as if the lowest levels were asked for. So that
    these can still be asked for it is rare, and only plain music is given in this way: that is what
    whoever says nothing gets.
    """
    unsaid = 0.4
    if whole:
        plain = all(levels[name] <= most for name, most in PLAIN.items() if name in levels)
        unsaid = 0.0 if not plain else 0.12 if track.is_drum else 0.25
    chance = rng.random()
    if chance < unsaid:
        return 0.0
    return 1.0 if track.is_drum or chance < 0.8 else 0.5


def without(score: Score, cells: Collection[Cell]) -> Score:
    """The score with these bars empty."""
    tracks = []
    for t, track in enumerate(score.tracks):
        bars = [
            Bar([] if (t, b) in cells else bar.notes, bar.ts_numerator, bar.ts_denominator)
            for b, bar in enumerate(track.bars)
        ]
        tracks.append(Track(bars, track.instrument, track.track_type))
    return Score(tracks, score.resolution, score.tempo)
