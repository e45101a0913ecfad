import dataclasses

import pytest
from pydantic import TypeAdapter, ValidationError

from midigpt.inference.request import GenerationRequest, InferenceConfig, TrackPrompt

FULL_PROMPT = {
    "id": 1,
    "bars": [2, 3],
    "autoregressive": True,
    "ignore": False,
    "mask_bars": [0],
    "attributes": {"max_polyphony": 3},
    "controls": {"pitch_mask": {"scale": "dorian"}},
    "bar_attributes": {"2": {"bar_max_polyphony": 1}},
    "bar_controls": {"-3": {"time_signature": 0}},
}


def test_a_track_prompt_is_read_from_its_json_form():
    assert TrackPrompt.from_dict(FULL_PROMPT) == TrackPrompt(
        id=1,
        bars=[2, 3],
        autoregressive=True,
        ignore=False,
        mask_bars=[0],
        attributes={"max_polyphony": 3},
        controls={"pitch_mask": {"scale": "dorian"}},
        bar_attributes={2: {"bar_max_polyphony": 1}},
        bar_controls={-3: {"time_signature": 0}},
    )


def test_all_but_track_and_bars_may_be_left_out():
    request = GenerationRequest.from_dict({"tracks": [{"id": 0, "bars": []}]})
    assert request == GenerationRequest([TrackPrompt(0)])
    assert request.config == InferenceConfig()
    assert request.controls == {}


def test_unknown_keys_are_ignored():
    request = GenerationRequest.from_dict(
        {"tracks": [{"id": 0, "bars": [1], "x": 1}], "config": {"x": 1, "top_k": 2}, "x": 1}
    )
    assert request == GenerationRequest([TrackPrompt(0, [1])], InferenceConfig(top_k=2))


def test_values_are_taken_as_they_are():
    request = GenerationRequest.from_dict(
        {"tracks": [{"id": "x", "bars": "ab", "ignore": 7}], "config": {"temperature": []}}
    )
    assert request.tracks[0] == TrackPrompt("x", ["a", "b"], ignore=7)
    assert request.config.temperature == []


def test_what_is_read_shares_no_container_with_its_source():
    data = {"tracks": [FULL_PROMPT], "controls": {"velocity": True}}
    request = GenerationRequest.from_dict(data)
    request.controls.clear()
    prompt = request.tracks[0]
    for container in (prompt.bars, prompt.mask_bars, prompt.attributes, prompt.controls):
        container.clear()
    prompt.bar_attributes[2].clear()
    assert GenerationRequest.from_dict(data).tracks == [TrackPrompt.from_dict(FULL_PROMPT)]
    assert data["controls"] == {"velocity": True}


@pytest.mark.parametrize(
    ("data", "missing"),
    [({}, "tracks"), ({"tracks": [{"bars": []}]}, "id"), ({"tracks": [{"id": 0}]}, "bars")],
)
def test_a_missing_key_is_a_key_error(data, missing):
    with pytest.raises(KeyError, match=missing):
        GenerationRequest.from_dict(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "a request must be an object, not list"),
        ({"tracks": 5}, "tracks must be a list, not int"),
        ({"tracks": [5]}, "a track prompt must be an object, not int"),
        ({"tracks": [], "config": 3}, "config must be an object, not int"),
        ({"tracks": [], "controls": None}, "controls must be an object, not NoneType"),
        ({"tracks": [{"id": 0, "bars": 3}]}, "bars must be a list, not int"),
        ({"tracks": [{"id": 0, "bars": [], "mask_bars": 3}]}, "mask_bars must be a list, not int"),
        ({"tracks": [{"id": 0, "bars": [], "attributes": 7}]}, "attributes must be an object"),
        ({"tracks": [{"id": 0, "bars": [], "controls": []}]}, "controls must be an object"),
        ({"tracks": [{"id": 0, "bars": [], "bar_controls": []}]}, "bar_controls must be an object"),
        (
            {"tracks": [{"id": 0, "bars": [], "bar_attributes": {"1": 2}}]},
            r"bar_attributes\['1'\] must be an object, not int",
        ),
        (
            {"tracks": [{"id": 0, "bars": [], "bar_attributes": {None: {}}}]},
            "bar_attributes has the key None; its keys must be bar numbers",
        ),
    ],
)
def test_a_wrong_container_is_a_type_error(data, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        GenerationRequest.from_dict(data)


@pytest.mark.parametrize("key", ["x", "1.5", "", "\ud800", "9" * 5000])
def test_a_key_that_is_no_bar_number_is_a_value_error(key):
    with pytest.raises(ValueError, match=r"bar_controls has the key .*; its keys must be bar"):
        TrackPrompt.from_dict({"id": 0, "bars": [], "bar_controls": {key: {}}})


def test_auto_reads_back_as_0():
    config = InferenceConfig(model_dim="auto", bars_per_step="auto", tracks_per_step="auto")
    assert (config.model_dim, config.bars_per_step, config.tracks_per_step) == (0, 0, 0)
    assert config == InferenceConfig(model_dim=0, bars_per_step=0, tracks_per_step=0)


@pytest.mark.parametrize("record", [GenerationRequest, TrackPrompt, InferenceConfig])
def test_every_member_is_described_in_the_schema(record):
    schema = TypeAdapter(record).json_schema()
    names = [field.name for field in dataclasses.fields(record)]
    assert [name for name in names if not schema["properties"][name].get("description")] == []


def test_bars_are_required_of_json_but_not_of_python():
    assert TrackPrompt(0).bars == []
    reader = TypeAdapter(GenerationRequest)
    assert reader.validate_python({"tracks": [{"id": 0, "bars": []}]}).tracks == [TrackPrompt(0)]
    with pytest.raises(ValidationError, match="has no bars"):
        reader.validate_python({"tracks": [{"id": 0}]})


def test_the_schema_says_what_is_required_and_what_the_ranges_are():
    definitions = TypeAdapter(GenerationRequest).json_schema()["$defs"]
    assert definitions["TrackPrompt"]["required"] == ["id", "bars"]
    settings = definitions["InferenceConfig"]["properties"]
    assert (settings["max_attempts"]["minimum"], settings["max_attempts"]["maximum"]) == (1, 100)
    assert "attention_skip" in settings["mask_mode"]["enum"]
    kinds = [choice.get("type") for choice in settings["model_dim"]["anyOf"]]
    assert kinds == ["integer", "string", "null"]
