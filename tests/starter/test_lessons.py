"""What the model practises on is what sessions show it."""

import torch
from composer import compose
from composer.dice import dice
from lessons import draw_exercise, lesson, plan

from midigpt.inference.engine import InferenceEngine


class Rehearsed:
    """A decoder that plays given tokens, prompt by prompt, and remembers the prompts."""

    def __init__(self, vocab_size, answers):
        self.vocab_size = vocab_size
        self.context = 2048
        self.lookahead = 0
        self.stride = 0
        self.threads = 0
        self.prompt_tokens = self.reused_tokens = 0
        self.prompts = []
        self._answers = iter(answers)

    def prefill(self, _row, tokens, hidden=(), _check=None):
        hides = {place for start, end in hidden for place in range(start, end)}
        shown = [place for place in range(len(tokens)) if place not in hides]
        self.prompts.append(([tokens[place] for place in shown], shown))
        self._coming = iter(next(self._answers))
        return self._next()

    def step(self, rows, _tokens):
        return torch.stack([self._next() for _ in rows])

    def rewind(self, row, length):
        pass

    def fork(self, source, rows):
        pass

    def _next(self):
        logits = torch.zeros(self.vocab_size)
        logits[next(self._coming, 0)] = 1e4
        return logits


def exercises(language, count):
    for number in range(count):
        rng = dice("test", number)
        exercise = draw_exercise(rng, compose(number).score, language)
        if exercise is None:
            continue
        steps = len(plan(exercise, language)[1])
        if steps > 6:
            continue
        lessons = [lesson(exercise, n, language) for n in range(steps)]
        if all(one and len(one.tokens) < 1500 for one in lessons):
            yield exercise, lessons


def test_a_session_that_plays_the_truth_is_shown_the_lessons(language):
    met = {"fill": 0, "go on": 0, "hidden": 0, "asked": 0, "later step": 0}
    for exercise, lessons in exercises(language, 60):
        answers = [one.tokens[one.prompt :] for one in lessons]
        decoder = Rehearsed(len(language.tokenizer.vocabulary), answers)
        exercise.request.config.novelty_check = False
        exercise.request.config.max_attempts = 1
        session = InferenceEngine(language, decoder).session(exercise.sent, exercise.request)
        result = session.run()
        assert len(decoder.prompts) == len(lessons)
        for (tokens, places), one in zip(decoder.prompts, lessons, strict=True):
            assert tokens == list(one.tokens[: one.prompt])
            assert places == list(one.positions[: one.prompt])
        assert onsets(language, result) == onsets(language, exercise.truth)
        met["fill"] += not any(p.autoregressive for p in exercise.request.tracks)
        met["go on"] += any(p.autoregressive for p in exercise.request.tracks)
        met["hidden"] += any(p.mask_bars for p in exercise.request.tracks)
        met["asked"] += any(p.attributes for p in exercise.request.tracks)
        met["later step"] += len(lessons) > 1
    assert min(met.values()) >= 2, met


def onsets(language, score):
    grid = language.tokenizer.to_grid(score)
    return [
        [sorted((note.onset_ticks, note.pitch) for note in bar.notes) for bar in track.bars]
        for track in grid.tracks
    ]
