"""The engine: a checkpoint, its language and a decoder, ready for sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from midigpt.inference.language import Language
from midigpt.inference.session import SamplingSession
from midigpt.inference.validate import check_request
from midigpt.model import hub
from midigpt.model.checkpoint import check_vocabulary, load_checkpoint
from midigpt.model.decoder import PlainDecoder

if TYPE_CHECKING:
    from os import PathLike

    from midigpt.attributes import AttributeAnalyzer
    from midigpt.inference.request import GenerationRequest
    from midigpt.model.decoder import Decoder
    from midigpt.score import Score


class InferenceEngine:
    """Generates music with one checkpoint. One session may run at a time.

    Args:
        language: what the checkpoint's encoder defines.
        decoder: runs its network.

    Attributes:
        language: as given.
        decoder: as given.
    """

    def __init__(self, language: Language, decoder: Decoder) -> None:
        self.language = language
        self.decoder = decoder

    @classmethod
    def from_checkpoint(
        cls,
        path: str | PathLike[str],
        analyzer: AttributeAnalyzer | None = None,
        device: str | torch.device | None = None,
    ) -> InferenceEngine:
        """Load a ``.safetensors`` or ``.pt`` file, or a checkpoint directory.

        Args:
            path: the file or directory.
            analyzer: measures attributes; the encoder's own by default.
            device: ``"cpu"``, ``"cuda"``, ``"cuda:N"``, ``"mps"``; by default the best there is.

        Raises:
            CheckpointError: missing, damaged, or inconsistent with itself.
            EncoderConfigError: its encoder config makes no sense.
            DeviceError: the device is not there.
        """
        bundle = load_checkpoint(path, device)
        language = Language.of(bundle.encoder_config, analyzer)
        check_vocabulary(bundle, len(language.tokenizer.vocabulary))
        engine = cls(language, PlainDecoder(bundle.model))
        engine.warmup()
        return engine

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        hf_repo: str = hub.DEFAULT_REPO,
        analyzer: AttributeAnalyzer | None = None,
        device: str | torch.device | None = None,
        token: str | None = None,
    ) -> InferenceEngine:
        """Load a published checkpoint from the Hugging Face Hub, or its cached copy.

        Args:
            name: such as ``"yellow"`` or ``"yellow_medium"``.
            hf_repo: the repository that holds it.
            analyzer: as in :meth:`from_checkpoint`.
            device: as in :meth:`from_checkpoint`.
            token: access token; by default ``HF_TOKEN`` or the stored login.

        Raises:
            CheckpointError: there is no such checkpoint, or it cannot be had.
        """
        return cls.from_checkpoint(hub.resolve(name, repo=hf_repo, token=token), analyzer, device)

    def session(self, score: Score, request: GenerationRequest) -> SamplingSession:
        """Validate a request and make it ready.

        Raises:
            RequestValidationError: the request cannot be carried out.
        """
        tokenizer = self.language.tokenizer
        valid, warnings = check_request(request, score, tokenizer.config, self.language.analyzer)
        return SamplingSession(self, score, valid, warnings)

    def warmup(self) -> None:
        """Run the network once, so that the first request does not pay for it."""
        with torch.inference_mode():
            self.decoder.prefill(0, [0])
            self.decoder.rewind(0, 0)
