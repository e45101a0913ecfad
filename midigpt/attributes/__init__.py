"""Musical attributes: what a model can be asked for, measured on a score."""

from midigpt.attributes.analyzer import AttributeAnalyzer, TrackLevels
from midigpt.attributes.base import Attribute
from midigpt.attributes.nomml import nomml_per_track

__all__ = ["Attribute", "AttributeAnalyzer", "TrackLevels", "nomml_per_track"]
