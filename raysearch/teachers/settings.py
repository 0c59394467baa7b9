"""Settings of the teacher, which say where it comes from.

This file does not import torch, because documents are checked without it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from raysearch.corpora.settings import CorpusSettings
from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.cost import check_size
from raysearch.encoder.imports.source import KINDS, split_source
from raysearch.errors import quoted
from raysearch.methods.settings import FrontEndName, StudentSettings
from raysearch.settings import Depth, Seconds, Seed, Settings, Updates, Width, local_path


class TrainedTeacher(Settings):
    """A small teacher that is trained here, once for a corpus. That takes minutes on a laptop."""

    source: Literal["train"] = "train"
    """Where the teacher comes from. `train`: it is trained here, on the corpus."""
    method: Literal["ctc", "speaker", "hubert"] = "ctc"
    """How it is trained. `ctc`: to read the corpus's phones, or its transcripts if it has no phones; `speaker`: to tell
    its speakers apart; `hubert`: by two iterations without labels, which learn nothing useful from under an hour of
    speech and in a few hundred updates."""
    front_end: FrontEndName = "logmel-25hz"
    """Front end and its frame rate. `waveform`: the seven convolutions of HuBERT at 50 Hz; `logmel-*`: Fast-HuBERT's
    convolutions over log-mel bins, at 25 or 50 Hz. `waveform-scaled` and `wespeaker-25hz` are as sherpa-onnx computes
    them, as of a student."""
    channels: Width = 256
    """Channels of every convolution of the front end."""
    depth: Depth = 6
    """Number of transformer blocks."""
    width: Width = 256
    """Width of the transformer, a multiple of heads and of 16."""
    heads: Width = 4
    """Attention heads of each block."""
    position_kernel: Width = 15
    """Kernel of the position convolution, in frames."""
    centred: bool = False
    """Whether a log-mel front end subtracts each bin's mean over the recording."""
    range_db: float = Field(0.0, ge=0, le=1_000)
    """Decibels between a recording's loudest bin and the level below which a log-mel front end takes all for silence.
    0 keeps levels as they are."""
    corpus: CorpusSettings | None = None
    """Corpus to train the teacher on. By default it is the search's own."""
    clusters: int = Field(100, ge=2, le=1_000_000)
    """Number of clusters in both iterations of `hubert`."""
    updates: Updates = 700
    """Number of updates. `hubert` makes as many in each iteration."""
    lr: float = Field(2e-3, gt=0)
    """Peak learning rate of AdamW."""
    head_lr: float = Field(1e-2, gt=0)
    """Peak learning rate of the CTC head, or of the speaker back end."""
    batch_s: Seconds = 40.0
    """Seconds of audio in a batch, padding included."""
    seed: Seed = 0
    """Seed of weights and batches."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the training. bf16 is faster on CPUs that know it."""

    @model_validator(mode="after")
    def _buildable(self) -> TrainedTeacher:
        # A shape that cannot be built is refused when the document is read.
        check_size(self.encoder())
        return self

    def encoder(self) -> EncoderConfig:
        """The teacher's architecture."""
        return self.shape().encoder()

    def shape(self) -> StudentSettings:
        """The teacher's shape, in the form of a student's settings."""
        names = ("front_end", "channels", "depth", "width", "heads", "position_kernel", "centred", "range_db")
        return StudentSettings(**{name: getattr(self, name) for name in names})


class ReadyTeacher(Settings):
    """A teacher that exists already."""

    source: str = Field(min_length=1)
    """Where the teacher comes from. `torchaudio:HUBERT_BASE`, or another of torchaudio's bundles; `hf:DIR`, a Hugging
    Face folder of HuBERT, wav2vec 2.0, WavLM or Whisper; `fairseq:FILE`, a checkpoint of fairseq; or else a folder of
    raysearch with `config.json` and `model.safetensors`."""
    judged: bool = True
    """Whether it is judged before the first trial by those of the search's tasks that train a head on frozen states,
    so that its error stands beside its students'. That is done once for all searches."""

    @field_validator("source")
    @classmethod
    def _absolute(cls, source: str) -> str:
        kind, where = split_source(source)
        if kind == "torchaudio":
            if not re.fullmatch(r"\w+", where):
                raise ValueError(f"{quoted(source)}; expected the name of a bundle, such as torchaudio:HUBERT_BASE")
            return source
        # Workers run in other folders than the command.
        path = local_path(where)
        if not where or (not kind and re.match(r"\w+:", source) and not path.exists()):
            raise ValueError(f"{quoted(source)}; expected a folder, or one of {', '.join(KINDS)} before the colon")
        return f"{kind}:{path}" if kind else str(path)


def _kind(teacher: Any) -> str:
    source = teacher.get("source", "train") if isinstance(teacher, dict) else getattr(teacher, "source", "train")
    return "train" if source == "train" else "ready"


TeacherSettings = Annotated[
    Annotated[TrainedTeacher, Tag("train")] | Annotated[ReadyTeacher, Tag("ready")], Discriminator(_kind)
]
