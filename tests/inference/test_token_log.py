"""A log of everything that is sampled."""

import json
import math

import pytest
import torch

from midigpt import Note
from midigpt.errors import GenerationError
from midigpt.inference import GenerationRequest
from midigpt.inference.rules import Rules
from midigpt.inference.session import TokenLogger
from midigpt.model import sampling
from tests.inference.conftest import random_engine

INFILL = {"id": 0, "bars": [1, 2]}
CONTEXT = {"id": 1, "bars": []}
CONTINUE = {"id": 0, "bars": [2, 3], "autoregressive": True}


@pytest.fixture
def logged(engine, score, tmp_path):
    """A session with a log, and a reader of its records of one kind."""

    def attached(*tracks, engine=engine, **config):
        settings = {"model_dim": 4, "seed": 7, "density_hard_limit": 3} | config
        request = GenerationRequest.from_dict({"tracks": list(tracks), "config": settings})
        session = engine.session(score, request)
        session.token_logger = TokenLogger(tmp_path / "log.jsonl")
        return session, lambda *kinds: [
            record
            for record in map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
            if record["rec"] in kinds
        ]

    return attached


def test_attempts_are_told_one_after_the_other(logged):
    session, records = logged(INFILL, CONTEXT)
    session.run()
    session.run()
    kinds = ("ctx_bar", "token", "step_summary", "bar")
    told = [(record["step"], record["rec"]) for record in records(*kinds)]
    # two steps, twice; each tells its kinds in this order
    assert list(dict.fromkeys(told)) == [(step, kind) for step in range(4) for kind in kinds]
    assert told == sorted(told, key=lambda record: (record[0], kinds.index(record[1])))


def test_the_prompt_bar_by_bar(logged, vocabulary):
    session, records = logged(INFILL | {"bars": [1]}, CONTEXT)
    prompts = []
    session.attempt_sink = lambda _, row: prompts.append(row.prompt.tokens)
    session.run()
    told = records("ctx_bar")
    assert [(record["track"], record["bar"]) for record in told] == [
        (-1, -1),
        *((track, bar) for track in (0, 1) for bar in range(-1, 4)),
    ]
    spelled = [(word["tt"], word["tv"]) for record in told for word in record["tokens"]]
    assert spelled == [vocabulary.decode(token) for token in prompts[0]]


def test_every_token_with_its_place_in_the_run(logged, vocabulary):
    session, records = logged(INFILL, CONTEXT)
    sampled = []
    session.attempt_sink = lambda _, row: sampled.extend(row.tokens)
    session.run()
    told = records("token")
    assert [record["pos"] for record in told] == list(range(session.gen_count))
    assert [record["tid"] for record in told] == sampled
    assert [(record["tt"], record["tv"]) for record in told] == [
        vocabulary.decode(token) for token in sampled
    ]


def test_what_could_have_come(logged, vocabulary):
    """After a melodic onset there is nothing but a duration."""
    session, records = logged(INFILL, CONTEXT)
    session.run()
    told = records("token")
    after = [record for record in told if record["tt"] == "NoteDuration"]
    assert after
    for record in after:
        assert record["n_legal"] == vocabulary.domain_size("NoteDuration")
        assert (record["n_legal_tt"], record["legal_tt"]) == (1, ["NoteDuration"])
        assert {likely["tt"] for likely in record["top5"]} == {"NoteDuration"}
    opening = told[0]
    assert opening["legal_tt"] == [
        type_ for type_ in dict.fromkeys(vocabulary.types) if type_ in set(opening["legal_tt"])
    ]
    assert set(opening["legal_tt"]) == {"TimeAbsolutePos", "VelocityLevel", "NoteOnset"}
    assert opening["n_legal_tt"] == 3


def test_the_distribution_is_that_of_the_mask_at_temperature_1(logged, monkeypatch):
    """Neither the temperature of the request, nor its filters and weights."""
    seen = []
    original = sampling.probabilities

    def probabilities(logits, legal, temperatures):
        if float(temperatures[0, 0]) != 1:
            seen.append(original(logits, legal, torch.ones(1, 1))[0])
        return original(logits, legal, temperatures)

    monkeypatch.setattr(sampling, "probabilities", probabilities)
    shape = {"pitch_mask": {"shape": {"type": "normal"}}}
    session, records = logged(INFILL | {"controls": shape}, CONTEXT, temperature=2.0, top_k=3)
    session.run()
    told = records("token")
    assert len(told) == len(seen)
    for record, probs in zip(told, seen, strict=True):
        entropy = -sum(p * math.log2(p) for p in probs.tolist() if p)
        assert record["H_bits"] == pytest.approx(entropy, abs=1e-3)
        assert [likely["p"] for likely in record["top5"]] == pytest.approx(
            probs.sort(descending=True).values[: len(record["top5"])].tolist(), abs=1e-5
        )
    assert all(len(record["top5"]) == min(5, record["n_legal"]) for record in told)


def test_the_likeliest_come_first_and_sum_up(logged):
    uniform = random_engine()
    torch.nn.init.zeros_(uniform.decoder._model.lm_head.weight)
    session, records = logged(INFILL, CONTEXT, engine=uniform)
    session.run()
    for record in records("token"):
        assert record["H_bits"] == pytest.approx(math.log2(record["n_legal"]), abs=1e-4)
        assert {likely["p"] for likely in record["top5"]} == {round(1 / record["n_legal"], 6)}


def test_a_summary(logged):
    session, records = logged(INFILL | {"bars": [1]}, CONTEXT)
    session.run()
    (summary,) = records("step_summary")
    types = [record["tt"] for record in records("token")]
    assert summary == {
        "rec": "step_summary",
        "step": 0,
        "context_len": session.context_len,
        "max_gen_tokens": session.max_context_len - session.context_len - 1,
        "n_gen_tracks": 1,
        "gen_track_ids": [0],
        "ctx_track_ids": [1],
        "use_velocity": 1,
        "tokens_generated": session.gen_count,
        "grammar_collapses": 0,
        "token_type_counts": {type_: types.count(type_) for type_ in set(types)},
    }


def test_the_bars_of_the_window_as_they_now_stand(logged, tokenizer):
    session, records = logged(CONTINUE, CONTEXT)
    grid = tokenizer.to_grid(session.run())
    told = records("bar")
    assert [(record["track"], record["bar"], record["generated"]) for record in told] == [
        (track, bar, track == 0 and bar in (2, 3)) for track in (0, 1) for bar in range(4)
    ]
    for record in told:
        notes = grid.tracks[record["track"]].bars[record["bar"]].notes
        assert record["n_notes"] == len(notes)
        assert sorted(record["onset_spq"]) == sorted({note.onset_ticks for note in notes})
        assert record["unique_onsets"] == len(record["onset_spq"])
        assert sorted(record["pitches"]) == sorted({note.pitch for note in notes})
        at_start = sum(note.onset_ticks == 0 for note in notes)
        assert record["pct_at_0"] == pytest.approx(100 * at_start / len(notes), abs=0.05)


def test_bars_are_counted_from_the_start_of_the_piece(logged):
    session, records = logged(INFILL | {"bars": [3]}, CONTEXT, model_dim=2)
    session.run()
    told = [(record["bar"], record["generated"]) for record in records("bar")]
    assert told == [(2, False), (3, True), (2, False), (3, False)]


def test_a_bar_tells_its_first_16_onsets_and_pitches(score, logged):
    score.tracks[1].bars[0].notes = [Note(30 + n, 61, 80 * n, 80) for n in range(20)]
    score.tracks[1].bars[1].notes = []
    session, records = logged(INFILL | {"bars": [2]}, CONTEXT)
    session.run()
    full, empty = (r for r in records("bar") if r["track"] == 1 and r["bar"] in (0, 1))
    assert full["onset_spq"] == [2 * n for n in range(16)]
    assert full["pitches"] == [30 + n for n in range(16)]
    assert (full["n_notes"], full["unique_onsets"], full["pct_at_0"]) == (20, 20, 5.0)
    assert (empty["n_notes"], empty["onset_spq"], empty["pct_at_0"]) == (0, [], 0.0)


def test_a_dead_end(logged, monkeypatch):
    monkeypatch.setattr(Rules, "mask", lambda _, out: out.fill(False))
    session, records = logged(INFILL, CONTEXT, max_attempts=2)
    with pytest.raises(GenerationError):
        session.run()
    assert records("grammar_collapse") == [
        {"rec": "grammar_collapse", "step": step, "pos": 0, "n_legal": 0} for step in (0, 1)
    ]
    assert [summary["grammar_collapses"] for summary in records("step_summary")] == [1, 1]


def test_a_network_that_gives_no_numbers(logged):
    broken = random_engine()
    torch.nn.init.constant_(broken.decoder._model.lm_head.weight, math.nan)
    session, records = logged(INFILL | {"bars": [1]}, CONTEXT, engine=broken)
    session.run()
    collapses, tokens = records("grammar_collapse"), records("token")
    assert [c["pos"] for c in collapses] == [token["pos"] for token in tokens]
    assert [c["n_legal"] for c in collapses] == [token["n_legal"] for token in tokens]
    (summary,) = records("step_summary")
    assert summary["grammar_collapses"] == len(tokens)


def test_rejected_attempts_are_told_too(logged):
    remix = {"pitch_mask": {"pitches": [62]}, "remix": {"amount": 0.1}}
    session, records = logged(
        INFILL | {"bars": [1], "controls": remix}, CONTEXT, max_attempts=3, density_hard_limit=0
    )
    with pytest.raises(GenerationError):
        session.run()
    assert [summary["step"] for summary in records("step_summary")] == [0, 1, 2]
    assert [token["pos"] for token in records("token")] == list(range(session.gen_count))


def test_candidates_side_by_side_are_told_apart(logged):
    session, records = logged(INFILL | {"bars": [1]}, CONTEXT, num_candidates=3)
    candidates = session.run_variations()
    told = records("token")
    assert [token["step"] for token in told] == sorted(token["step"] for token in told)
    for summary in records("step_summary"):
        own = [token["pos"] for token in told if token["step"] == summary["step"]]
        assert own == list(range(summary["tokens_generated"]))
    lengths = [token["legal_tt"] for token in told if token["tt"] == "NoteDuration"]
    assert lengths == [["NoteDuration"]] * len(lengths)
    counts = sorted(summary["tokens_generated"] for summary in records("step_summary"))
    assert counts == sorted(candidate["gen_count"] for candidate in candidates)


def test_a_log_changes_nothing_and_without_one_nothing_is_computed(logged, monkeypatch):
    calls = []
    original = sampling.probabilities

    def probabilities(*tensors):
        calls.append(tensors)
        return original(*tensors)

    monkeypatch.setattr(sampling, "probabilities", probabilities)
    session, records = logged(INFILL, CONTEXT)
    music = session.run()
    assert len(calls) == 2 * session.gen_count
    session.token_logger = None
    calls.clear()
    assert session.run() == music
    assert len(calls) == session.gen_count
    assert len(records("token")) == session.gen_count


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(FileNotFoundError):
        TokenLogger(tmp_path / "missing" / "log.jsonl")


def test_a_log_starts_empty(tmp_path):
    (tmp_path / "log.jsonl").write_text("old")
    TokenLogger(tmp_path / "log.jsonl")
    assert (tmp_path / "log.jsonl").read_text() == ""
