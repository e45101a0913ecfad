"""The recorded values and levels of all attributes, and the tokens that carry them."""

import json
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from midigpt.attributes import AttributeAnalyzer
from midigpt.attributes.registry import INFERRED, REGISTRY, build
from midigpt.attributes.table import NoteTable
from midigpt.attributes.tension import EDGES
from midigpt.errors import EncodingError
from midigpt.tokens import EncoderConfig, Tokenizer
from midigpt.tokens.types import ALIASES
from tests.contract.vectors import load, needs_vectors, rows, unpack

pytestmark = needs_vectors

ENCODERS = ("yellow", "prism", "expressive")
PACKED = {packed["id"]: packed for packed in rows("attributes/scores.jsonl")}
TABLES = load("attributes/tables.json")


def score_of(row):
    packed = PACKED[row["id"]]
    tracks = [{"track_type": track["type"], **track} for track in packed["tracks"]]
    return unpack({"tempo": 500_000, **packed, "tracks": tracks})


@cache
def tokenizer_of(encoder):
    config = EncoderConfig.parse(load(f"encoders/{encoder}.json"))
    return Tokenizer(config, AttributeAnalyzer.from_config(config))


def each_row(member):
    """Every row that has the member, of every encoder."""
    return pytest.mark.parametrize(
        ("encoder", "row"),
        [
            pytest.param(encoder, row, id=f"{encoder}-{row['id']}")
            for encoder in ENCODERS
            for row in rows(f"attributes/{encoder}.jsonl")
            if member in row
        ],
    )


def levels_of(analyzer, score):
    """The levels in the form of the vectors."""
    return [
        {
            "track": levels.track,
            "bars": {
                type_: [bar[type_] for bar in levels.bars]
                for type_ in (levels.bars[0] if levels.bars else {})
            },
        }
        for levels in analyzer.compute_score(score)
    ]


@each_row("native")
def test_levels_of_a_score_as_it_is(encoder, row):
    assert levels_of(tokenizer_of(encoder).analyzer, score_of(row)) == row["native"]


@each_row("native")
def test_levels_on_the_token_grid(encoder, row):
    tokenizer = tokenizer_of(encoder)
    grid = tokenizer.to_grid(score_of(row))

    # left out of the vectors where the grid changes nothing
    assert levels_of(tokenizer.analyzer, grid) == row.get("grid", row["native"])


@each_row("values")
def test_values_of_tracks(encoder, row):
    computed = tokenizer_of(encoder).analyzer.compute_all(score_of(row))

    for values, recorded in zip(computed, row["values"], strict=True):
        assert values | recorded == pytest.approx(values, abs=1e-9)


@each_row("emitted")
def test_tokens_that_are_written(encoder, row):
    tokenizer, score = tokenizer_of(encoder), score_of(row)
    if row["emitted"] is None:
        with pytest.raises(EncodingError):
            tokenizer.encode(score)
        return

    tokens = [tokenizer.vocabulary.decode(token) for token in tokenizer.encode(score).tokens]

    assert written_levels(tokenizer.analyzer, tokens) == [
        {
            "track": [tuple(token) for token in track["track"]],
            "bars": [list(zip(track["bar_types"], bar, strict=True)) for bar in track["bars"]],
        }
        for track in row["emitted"]
    ]


def written_levels(analyzer, tokens):
    types = {ALIASES.get(a.token_type, a.token_type) for a in analyzer.attributes}
    tracks = []
    for type_, value in tokens:
        if type_ == "Track":
            tracks.append({"track": [], "bars": []})
            current = tracks[-1]["track"]
        elif type_ == "Bar":
            current = []
            tracks[-1]["bars"].append(current)
        elif type_ in types:
            current.append((type_, value))
    return tracks


@pytest.mark.parametrize("row", rows("attributes/all_attributes.jsonl"), ids=lambda row: row["id"])
def test_every_attribute_of_the_registry(row):
    score = score_of(row)
    for entry in row["attributes"]:
        attribute = build(entry["registry"], entry["params"])
        values = attribute.measure(NoteTable(score))
        levels = attribute.levels(values)
        if attribute.level == "track":
            recorded_values, recorded_levels = map(list, zip(*entry["tracks"], strict=True))
        else:
            recorded_values, recorded_levels = (
                [number for track in entry["tracks"] for number in track[column]]
                for column in (0, 1)
            )
        assert values.tolist() == pytest.approx(recorded_values, abs=1e-9), entry
        assert levels.tolist() == recorded_levels, entry


@pytest.mark.parametrize("row", rows("attributes/all_attributes.jsonl"), ids=lambda row: row["id"])
def test_what_can_be_achieved(row):
    score = score_of(row)
    for case in row["achievable"]:
        achievable = {}
        for key in case["ranges"]:
            name, params = key.split(":", 1)
            attribute = build(name, json.loads(params))
            lowest_and_highest = attribute.achievable_range(
                score, case["track"], case["generated_bars"]
            )
            achievable[key] = list(lowest_and_highest)
        assert achievable == case["ranges"]


def tracks_with_tension():
    """The recorded tracks, and the tracks of the score that they describe.

    The recording dropped tracks without notes, so that those after them moved up.
    """
    for row in rows("attributes/tension.jsonl"):
        score = score_of(row)
        filled = [t for t, track in enumerate(score.tracks) if any(b.notes for b in track.bars)]
        for t, (place, recorded) in enumerate(zip(filled, row["tracks"], strict=False)):
            yield pytest.param(score, place, recorded, id=f"{row['id']}-{t}")


@pytest.mark.parametrize(("score", "t", "recorded"), list(tracks_with_tension()))
def test_tension(score, t, recorded):
    if has_overlaps(score, t):
        pytest.skip("overlapping notes of one pitch, whose ends the recording exchanged")
    attribute = build(recorded["attribute"], {})
    if not attribute.applies_to(score.tracks[t]):
        pytest.skip("recorded with the features of the other kind of track, by moving up")

    values = attribute.measure(NoteTable(score, t))

    expected = recorded["with_absolute_onsets"]
    assert values == pytest.approx(expected["values"], abs=1e-6)
    assert attribute.levels(values).tolist() == expected["levels"]


def has_overlaps(score, t):
    """Whether two notes of one pitch sound together."""
    table = NoteTable(score, t)
    lengths = [4 * bar.ts_numerator * score.resolution // bar.ts_denominator for bar in table.bars]
    onset = table.starts(np.array(lengths, int))[table.bar] + table.onset
    notes = sorted(zip(table.pitch, onset, onset + table.duration, strict=True))
    return any(a[0] == b[0] and b[1] < a[2] for a, b in pairwise(notes))


@pytest.mark.parametrize(
    "recorded",
    TABLES.get("registry", []),
    ids=lambda entry: f"{entry['registry']}{entry['params']}",
)
def test_registry(recorded):
    attribute = build(recorded["registry"], recorded["params"])

    assert {
        "name": attribute.name,
        "token_type": attribute.token_type,
        "level": attribute.level,
        "track_type": attribute.track_type,
        "size": attribute.size,
    }.items() <= recorded.items()
    assert len(attribute.value_labels()) in (0, attribute.size)
    if recorded["value_labels"]:
        assert attribute.value_labels() == recorded["value_labels"]


def test_registry_is_complete():
    assert {entry["registry"] for entry in TABLES["registry"]} == set(REGISTRY)


def test_inference_from_token_types():
    # the look-up is by canonical name, so other rows never apply
    reachable = {
        type_: (key, params)
        for type_, (key, params) in TABLES["token_type_inference"].items()
        if type_ in INFERRED
    }

    assert reachable == INFERRED
    assert set(TABLES["token_type_inference"]) - set(INFERRED) == {
        "NoteDurationDist",
        "OnsetPolyphony",
        "PitchClassSetTrack",
    }


@pytest.mark.parametrize("encoder", ENCODERS)
def test_listings(encoder):
    analyzer, recorded = tokenizer_of(encoder).analyzer, TABLES["encoders"][encoder]

    assert list(analyzer.attribute_sizes().items()) == list(recorded["attribute_sizes"].items())
    assert analyzer.attribute_levels() == recorded["attribute_levels"]
    assert analyzer.attribute_track_types() == recorded["attribute_track_types"]
    assert recorded["attribute_value_labels"].items() <= analyzer.attribute_value_labels().items()
    assert [list(spec) for spec in analyzer.token_domain_specs()] == recorded["token_domain_specs"]
    assert len(tokenizer_of(encoder).vocabulary) == recorded["vocab_size"]


def test_edges_of_tension():
    assert EDGES.tolist() == TABLES["tension_bin_edges"]


def test_bounds_of_density():
    from midigpt.attributes.note_density import BOUNDS

    recorded = load("attributes/density_quantiles.json")["thresholds"]

    assert {str(row): bounds for row, bounds in enumerate(BOUNDS.tolist())} == recorded
