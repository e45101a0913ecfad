"""BentoML's door: ``bentoml serve`` in the checkout finds the service here."""

from midigpt.server.service import MidiGPT

__all__ = ["MidiGPT"]
