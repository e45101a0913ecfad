import json

from midigpt.server.openapi import document


def references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        yield from (ref for child in value.values() for ref in references(child))
    if isinstance(value, list):
        yield from (ref for child in value for ref in references(child))


def test_it_is_strict_json_and_all_references_lead_somewhere():
    text = json.dumps(document(), allow_nan=False)
    found = document()
    for ref in references(json.loads(text)):
        place = found
        for name in ref.removeprefix("#/").split("/"):
            place = place[name]
        assert place


def test_the_bodies_are_described_to_the_last_member():
    schemas = document()["components"]["schemas"]
    assert set(schemas["GenerateInput"]["required"]) == {"score", "request"}
    assert schemas["Note"]["properties"]["pitch"] == {
        "description": "MIDI pitch",
        "maximum": 127,
        "minimum": 0,
        "title": "Pitch",
        "type": "integer",
    }
    assert set(schemas["TrackPrompt"]["required"]) == {"id", "bars"}
    assert schemas["InferenceConfig"]["properties"]["top_p"]["exclusiveMinimum"] == 0
    assert "beat_length" not in schemas["Bar"]["properties"]
    assert "attributes" not in schemas["Track"]["properties"]


def test_every_path_has_its_answers():
    paths = document()["paths"]
    assert set(paths) == {
        "/generate",
        "/generate/{request_id}/cancel",
        "/health",
        "/info",
        "/models",
    }
    responses = paths["/generate"]["post"]["responses"]
    assert set(responses) == {"200", "400", "409", "413", "415", "422", "500", "503"}
    problem = responses["422"]["content"]["application/json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}
    [parameter] = paths["/generate/{request_id}/cancel"]["post"]["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == (
        "request_id",
        "path",
        True,
    )
