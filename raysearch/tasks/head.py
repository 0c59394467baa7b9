"""The folder of a task's head: `head.json`, `head.safetensors`, and the encoder if it was tuned with the head.

A trial keeps one such folder for each of its tasks, for example `head-phonemes`. Student and head together are a model
that can be shipped.

Shapes: L layers, V symbols, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, PositiveInt
from safetensors.torch import save_file
from torch import nn

from raysearch.encoder.checkpoint import WEIGHTS_NAME, load_encoder, read_weights, save_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from raysearch.files.whole import whole_file
from raysearch.settings import Settings
from raysearch.tasks.ctc.superb_heads import ProjectedHead, RecurrentHead, superb_head
from raysearch.tasks.ctc.tokens import CtcHead, OutputHead, Tokens, Unit
from raysearch.tasks.fields.head import FieldHead, build_field_head
from raysearch.tasks.settings import BackendSettings
from raysearch.tasks.speaker.backend import SpeakerBackend
from raysearch.tasks.superb import SuperbHead

AnyCtcHead = CtcHead | OutputHead | ProjectedHead | RecurrentHead
DOCUMENT_NAME, HEAD_WEIGHTS_NAME = "head.json", "head.safetensors"


class CtcHeadConfig(Settings):
    """What a CTC head reads and emits."""

    kind: Literal["ctc"] = "ctc"
    unit: Unit
    """What a symbol is: a phone, a character, or a character or the mark of a slot."""
    symbols: list[str]
    """The symbols. Symbol i has token i + 1, because token 0 is the blank."""
    reads: Literal["layers", "output"] = "layers"
    """What the head reads. `layers`: a learned average of all LayerNormed hidden states; `output`: the encoder's
    output, as the heads of CTC teachers do."""
    units: PositiveInt | None = None
    """Units of SUPERB's head for what is read. None of a linear head."""
    layers: PositiveInt
    """Number of hidden states of the encoder: the front end's output and each block's."""
    width: PositiveInt
    """Width of the encoder."""

    @property
    def tokens(self) -> Tokens:
        """The symbols, with their tokens."""
        return Tokens(self.unit, tuple(self.symbols))

    @property
    def superb(self) -> SuperbHead | None:
        """What SUPERB's head costs. None of a linear head."""
        task = {"characters": "asr", "phones": "phonemes", "slots": "slots"}[self.unit]
        return None if self.units is None else SuperbHead(task, self.width, self.units, self.tokens.count)

    def build(self) -> AnyCtcHead:
        """A head with weights that are to be loaded, or drawn from torch's global generator."""
        if self.reads == "output":
            return OutputHead(self.width, self.tokens.count)
        if self.units is not None:
            return superb_head(self.unit, self.layers, self.width, self.tokens.count, self.units)
        return CtcHead(self.layers, self.width, self.tokens.count)


class SpeakerHeadConfig(Settings):
    """What a speaker back end reads, and the score from which on two cuts are taken for one speaker."""

    kind: Literal["speaker"] = "speaker"
    backend: BackendSettings
    layers: PositiveInt
    """Number of hidden states of the encoder: the front end's output and each block's."""
    width: PositiveInt
    """Width of the encoder."""
    threshold: float
    """The cosine at which the dev split has as many misses as false acceptances."""

    def build(self) -> SpeakerBackend:
        return SpeakerBackend(self.backend, self.width, self.layers)


class FieldHeadConfig(Settings):
    """What a head that decides fields reads and emits."""

    kind: Literal["fields"] = "fields"
    fields: dict[str, list[str]]
    """The values of each field, in the order of the head's outputs."""
    pooling: Literal["attention", "mean+max"]
    """How the frames of a cut become one vector."""
    segments: PositiveInt = 1
    """Number of equal stretches of a cut whose means and maxima are taken."""
    units: PositiveInt | None = None
    """Units of SUPERB's head, which takes the mean of the frames. None of a linear head."""
    layers: PositiveInt
    """Number of hidden states that the head mixes: the front end's output and each block's."""
    width: PositiveInt
    """Width of the encoder."""

    @property
    def superb(self) -> SuperbHead | None:
        """What SUPERB's head costs. None of a linear head."""
        return None if self.units is None else SuperbHead("intent", self.width, self.units, sum(self._sizes))

    def build(self) -> FieldHead:
        return build_field_head(self.layers, self.width, self._sizes, self.pooling, self.segments, self.units)

    @property
    def _sizes(self) -> list[int]:
        return [len(values) for values in self.fields.values()]


HeadConfig = CtcHeadConfig | SpeakerHeadConfig | FieldHeadConfig


class _Kind(Settings):
    """The kind of head that a document describes. The rest of the document is not looked at."""

    model_config = ConfigDict(extra="ignore")
    kind: Literal["ctc", "speaker", "fields"] = "ctc"

    @classmethod
    def _keys(cls, given: dict[Any, Any]) -> list[str]:
        return list(given)


_CONFIGS: dict[str, type[HeadConfig]] = {
    "ctc": CtcHeadConfig,
    "speaker": SpeakerHeadConfig,
    "fields": FieldHeadConfig,
}


@dataclass(frozen=True)
class ChosenHead:
    """The head that the dev split chose."""

    config: HeadConfig
    module: nn.Module
    tuned: Encoder | None
    """The encoder that was trained with the head. None if the head sits on the student as it is."""

    @classmethod
    def of_output(cls, head: OutputHead, tokens: Tokens, layers: int) -> ChosenHead:
        """A CTC head for these tokens on the output of an encoder with so many hidden states."""
        config = CtcHeadConfig(
            unit=tokens.unit, symbols=list(tokens.symbols), reads="output", layers=layers, width=head.in_features
        )
        return cls(config, head, None)

    def save(self, folder: Path) -> None:
        """Writes the folder that `load_head` reads."""
        save_head(folder, self.config, self.module, self.tuned)


def save_head(folder: Path, config: Settings, module: nn.Module, tuned: Encoder | None) -> None:
    """Writes a head's document and weights, and the encoder if it was tuned. No file is ever half written."""
    folder.mkdir(parents=True, exist_ok=True)
    if tuned is not None:
        save_encoder(tuned, folder)
    # Both files are written before either takes its place, and the document takes its place last: a reader who finds a
    # new one finds the weights that belong to it.
    with whole_file(folder / DOCUMENT_NAME) as document, whole_file(folder / HEAD_WEIGHTS_NAME) as part:
        save_file({k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}, part)
        document.write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")


def head_folder(trial: Path, task: str) -> Path:
    """The folder in which a trial keeps the head of a task."""
    return trial / f"head-{task}"


def load_head(folder: Path) -> ChosenHead:
    """The head in a folder that `save_head` wrote.

    Raises: InputError if a file is missing or unreadable, or if the weights are not those of the document.
    """
    file = folder / DOCUMENT_NAME
    try:
        document = file.read_bytes()
        config = _CONFIGS[_Kind.checked_json(document).kind].checked_json(document)
    except OSError as err:
        raise InputError(f"{file}: {err.strerror}; expected the head that was trained on this student") from err
    except InputError as err:
        raise InputError(f"{file}: {err}") from err
    head = config.build()
    weights = read_weights(folder / HEAD_WEIGHTS_NAME)
    shapes = {key: tuple(tensor.shape) for key, tensor in weights.items()}
    expected = {key: tuple(tensor.shape) for key, tensor in head.state_dict().items()}
    if shapes != expected:
        differ = sorted(key for key in shapes.keys() | expected.keys() if shapes.get(key) != expected.get(key))
        got, wanted = ({key: found.get(key) for key in differ} for found in (shapes, expected))
        raise InputError(f"{folder / HEAD_WEIGHTS_NAME}: {got}; expected {wanted}, as {DOCUMENT_NAME} says")
    # torch's own complaint about other shapes would name no file and fill a screen.
    head.load_state_dict(weights)
    tuned = load_encoder(folder) if (folder / WEIGHTS_NAME).exists() else None
    return ChosenHead(config, head.eval(), tuned)
