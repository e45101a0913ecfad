"""The engine: a checkpoint, its language and a decoder, ready for sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from midigpt.errors import EncoderConfigError
from midigpt.inference.language import Language
from midigpt.inference.pool import DecoderPool
from midigpt.inference.session import SamplingSession
from midigpt.inference.validate import check_request
from midigpt.model import hub
from midigpt.model.checkpoint import check_vocabulary, load_checkpoint
from midigpt.model.runtime import make_decoders

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from midigpt.attributes import AttributeAnalyzer
    from midigpt.inference.request import GenerationRequest
    from midigpt.model.decoder import Decoder
    from midigpt.model.packing import Precision
    from midigpt.score import Score


class InferenceEngine:
    """Generates music with one checkpoint, on any number of threads.

    Every run has a decoder to itself; one that finds none free waits. What a run gives depends on
    its request alone, whatever runs beside it.

    Args:
        language: what the checkpoint's encoder defines.
        decoder: runs its network.
        more: further decoders of the same network, one for each run that may go on beside.

    Raises:
        EncoderConfigError: the encoder has no tokens for tracks and bars.

    Attributes:
        language: as given.
        decoder: the first one, to ask for what touches none of its rows.
        decoders: all of them, for runs to borrow.
    """

    def __init__(self, language: Language, decoder: Decoder, *more: Decoder) -> None:
        _check_can_write(language)
        self.language = language
        self.decoder = decoder
        self.decoders = DecoderPool([*more, decoder])

    @classmethod
    def from_checkpoint(
        cls,
        path: str | PathLike[str],
        analyzer: AttributeAnalyzer | None = None,
        device: str | torch.device | None = None,
        parallel: int = 1,
        precision: Precision | None = None,
    ) -> InferenceEngine:
        """Load a ``.safetensors`` or ``.pt`` file, or a checkpoint directory.

        Args:
            path: the file or directory.
            analyzer: measures attributes; the encoder's own by default.
            device: ``"cpu"``, ``"cuda"``, ``"cuda:N"``, ``"mps"``; by default the best there is.
            parallel: the most runs at a time, at least 1; they share the weights.
            precision: how the weights are held; see :data:`midigpt.model.Precision`. By default
                bf16 on CUDA and fp16 on a CPU, each where it is to be had, else fp32. CUDA has
                bf16 and fp32, a CPU fp32, fp16 and int8.

        Raises:
            CheckpointError: missing, damaged, or inconsistent with itself.
            EncoderConfigError: its encoder config makes no sense.
            DeviceError: the device is not there, or has not this precision.
            ValueError: ``parallel`` is below 1.
        """
        if parallel < 1:
            raise ValueError(f"parallel is {parallel}; it must be at least 1")
        bundle = load_checkpoint(path, device)
        language = Language.of(bundle.encoder_config, analyzer)
        check_vocabulary(bundle, len(language.tokenizer.vocabulary))
        engine = cls(language, *make_decoders(bundle.model, precision, parallel))
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
        parallel: int = 1,
        precision: Precision | None = None,
    ) -> InferenceEngine:
        """Load a published checkpoint from the Hugging Face Hub, or its cached copy.

        Args:
            name: such as ``"yellow"`` or ``"yellow_medium"``.
            hf_repo: the repository that holds it.
            analyzer: as in :meth:`from_checkpoint`.
            device: as in :meth:`from_checkpoint`.
            token: access token; by default ``HF_TOKEN`` or the stored login.
            parallel: as in :meth:`from_checkpoint`.
            precision: as in :meth:`from_checkpoint`.

        Raises:
            CheckpointError: there is no such checkpoint, or it cannot be had.
            ValueError: ``parallel`` is below 1.
        """
        path = hub.resolve(name, repo=hf_repo, token=token)
        return cls.from_checkpoint(path, analyzer, device, parallel, precision)

    def session(
        self,
        score: Score,
        request: GenerationRequest,
        check: Callable[[], None] = lambda: None,
    ) -> SamplingSession:
        """Validate a request and make it ready; waits for no run.

        Args:
            score: the whole score; neither it nor the request is modified.
            request: what to do with it.
            check: called every few milliseconds of work; what it raises ends the work.

        Raises:
            RequestValidationError: the request cannot be carried out.
        """
        check()
        tokenizer = self.language.tokenizer
        valid, warnings = check_request(request, score, tokenizer.config, self.language.analyzer)
        return SamplingSession(self, score, valid, warnings, check)

    def warmup(self) -> None:
        """Run the network once, so that the first request does not pay for it."""
        with torch.inference_mode():
            self.decoder.prefill(0, [0])
            self.decoder.rewind(0, 0)


def _check_can_write(language: Language) -> None:
    vocabulary = language.tokenizer.vocabulary
    missing = [type_ for type_ in ("Track", "TrackEnd", "Bar") if type_ not in vocabulary]
    if missing:
        raise EncoderConfigError(
            f"token_domains has no {', '.join(missing)}; without it no music can be written"
        )
