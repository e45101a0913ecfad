import pytest

from midigpt.attributes.base import Attribute
from midigpt.attributes.registry import INFERRED, REGISTRY, build
from midigpt.errors import EncoderConfigError
from midigpt.tokens.types import canonical

MODES = {"polyphony_quantile": {"mode": "min"}, "note_duration_quantile": {"mode": "max"}}


@pytest.mark.parametrize("key", REGISTRY)
def test_build(key):
    attribute = build(key, MODES.get(key, {}))

    assert isinstance(attribute, Attribute)
    assert len(attribute.value_labels()) in {0, attribute.size}


@pytest.mark.parametrize("type_", INFERRED)
def test_inferred_attributes_have_the_type_they_are_inferred_from(type_):
    assert build(*INFERRED[type_]).token_type == type_ == canonical(type_)


def test_unknown_attribute():
    with pytest.raises(EncoderConfigError) as caught:
        build("loudness", {})

    assert isinstance(caught.value, KeyError)
    message = str(caught.value)
    assert message.startswith("attribute_controls: no attribute 'loudness'; there are note_density")
    assert all(key in message for key in REGISTRY)


@pytest.mark.parametrize(
    ("key", "params", "problem"),
    [
        ("pitch_range", {"level": "bar"}, "unexpected keyword argument 'level'; its .* none"),
        ("polyphony_quantile", {}, "missing a required argument: 'mode'; its .* mode, level"),
        ("nomml", {"self": 1}, "unexpected keyword argument 'self'"),
    ],
)
def test_wrong_parameters(key, params, problem):
    with pytest.raises(
        EncoderConfigError, match=f"attribute_controls: {key}: .*{problem}"
    ) as caught:
        build(key, params)

    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("key", "params"),
    [
        ("polyphony_quantile", {"mode": "avg"}),
        ("polyphony_quantile", {"mode": "min", "level": "piece"}),
        ("note_duration_quantile", {"mode": None}),
        ("note_density_quantile", {"level": ["bar"]}),
        ("silence_proportion", {"track_type": "strings"}),
        ("pitch_class_set", {"level": ""}),
    ],
)
def test_values_that_parameters_cannot_have(key, params):
    with pytest.raises(EncoderConfigError, match="must be one of"):
        build(key, params)
