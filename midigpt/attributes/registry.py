"""All attributes, under the names by which an encoder config selects them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from midigpt.attributes.key_signature import KeySignature
from midigpt.attributes.nomml import Nomml
from midigpt.attributes.note_density import NoteDensity, NoteDensityQuantile
from midigpt.attributes.note_duration import NoteDuration, NoteDurationDist
from midigpt.attributes.onset_polyphony import OnsetPolyphony
from midigpt.attributes.pitch_class_set import PitchClassSet
from midigpt.attributes.pitch_range import PitchRange
from midigpt.attributes.polyphony import Polyphony
from midigpt.attributes.silence import SilenceProportion
from midigpt.attributes.tension import Tension, TensionDrum
from midigpt.errors import EncoderConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from midigpt.attributes.base import Attribute

REGISTRY: dict[str, Callable[..., Attribute]] = {
    "note_density_quantile": NoteDensityQuantile,
    "polyphony_quantile": Polyphony,
    "note_duration_quantile": NoteDuration,
    "key_signature": KeySignature,
    "pitch_range": PitchRange,
    "silence_proportion": SilenceProportion,
    "pitch_class_set": PitchClassSet,
    "nomml": Nomml,
    "note_density": NoteDensity,
    "onset_polyphony": OnsetPolyphony,
    "note_duration_dist": NoteDurationDist,
    "tension": Tension,
    "tension_drum": TensionDrum,
}
"""Registry key to class."""

INFERRED: dict[str, tuple[str, dict[str, Any]]] = {
    "MinPolyphony": ("polyphony_quantile", {"mode": "min"}),
    "MaxPolyphony": ("polyphony_quantile", {"mode": "max"}),
    "MinNoteDuration": ("note_duration_quantile", {"mode": "min"}),
    "MaxNoteDuration": ("note_duration_quantile", {"mode": "max"}),
    "NoteDensity": ("note_density_quantile", {}),
    "TrackLevelSilenceProportionMax": ("silence_proportion", {}),
    "TrackLevelPitchRangeMax": ("pitch_range", {}),
    "KeySignature": ("key_signature", {}),
    "TrackLevelNomml": ("nomml", {}),
    "BarLevelPitchClassSet": ("pitch_class_set", {}),
    "BarLevelOnsetDensity": ("note_density_quantile", {"level": "bar"}),
    "BarLevelOnsetPolyphonyMin": ("polyphony_quantile", {"mode": "min", "level": "bar"}),
    "BarLevelOnsetPolyphonyMax": ("polyphony_quantile", {"mode": "max", "level": "bar"}),
    "Tension": ("tension", {}),
    "TensionDrum": ("tension_drum", {}),
}
"""Canonical token type to the attribute that a vocabulary with that type has."""


class UnknownAttributeError(EncoderConfigError, KeyError):
    """An attribute that is not in the registry."""

    __str__ = EncoderConfigError.__str__  # that of KeyError puts the message in quotes


class AttributeParametersError(EncoderConfigError, TypeError):
    """Parameters that an attribute does not take, or lacks."""


def build(key: str, params: Mapping[str, Any]) -> Attribute:
    """The attribute of a registry key.

    Args:
        key: a key of :data:`REGISTRY`.
        params: keyword arguments of its class.

    Raises:
        UnknownAttributeError: the key is not in the registry.
        AttributeParametersError: a parameter is unknown or missing.
        EncoderConfigError: a parameter has a value that it cannot have.
    """
    if key not in REGISTRY:
        raise UnknownAttributeError(
            f"attribute_controls: no attribute {key!r}; there are {', '.join(REGISTRY)}"
        )
    signature = inspect.signature(REGISTRY[key])
    try:
        signature.bind(**params)
    except TypeError as error:
        accepted = ", ".join(signature.parameters) or "none"
        raise AttributeParametersError(
            f"attribute_controls: {key}: {error}; its parameters are: {accepted}"
        ) from None
    return REGISTRY[key](**params)
