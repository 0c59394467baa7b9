"""The cost sheet: what an encoder document, or the first student of a search document, costs in MACs and parameters.

The figures come from the encoder's config alone. Nothing is built or trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysearch.encoder.config import AnyConfig
from raysearch.encoder.cost import cost_parts, params
from raysearch.encoder.document import as_config, read_config
from raysearch.encoder.imports.source import split_source
from raysearch.encoder.published import PUBLISHED
from raysearch.errors import InputError
from raysearch.files.bundled import ENCODERS, SPACES, find_document
from raysearch.files.yaml_text import read_mapping
from raysearch.methods.table import load_method
from raysearch.spec.document import Spec
from raysearch.spec.loading import load_spec
from raysearch.spec.overrides import Overrides, override
from raysearch.spec.space import Config
from raysearch.tasks.settings import BackendSettings
from raysearch.tasks.speaker.backend_cost import backend_macs, backend_params
from raysearch.teachers.settings import TrainedTeacher


@dataclass(frozen=True)
class CostSheet:
    """An encoder, with what a speaker model adds behind it, ready to be costed at any lengths."""

    encoder: AnyConfig
    backend: BackendSettings | None
    """The back end that turns a speaker model's frames into an embedding. None for other models, whose heads are not
    counted."""

    def document(self, samples: Sequence[int]) -> dict[str, Any]:
        """The costs that `raysearch cost --json` prints, for utterances of these lengths in samples.

        MACs are in GMAC. `macs_total_g` and `params_total` include the back end, and are there only with one.
        """
        macs = cost_parts(self.encoder, samples)
        found: dict[str, Any] = {
            "params": params(self.encoder),
            "macs_g": sum(macs.values()) / 1e9,
            "parts_g": {part: cost / 1e9 for part, cost in macs.items()},
        }
        if self.backend is None:
            return found
        behind = backend_macs(self.backend, self.encoder, samples)
        return found | {
            "params_total": found["params"] + backend_params(self.backend, self.encoder),
            "macs_total_g": found["macs_g"] + behind / 1e9,
        }


def cost_sheet(path: Path, overrides: Overrides, ecapa: int | None) -> CostSheet:
    """The cost sheet of the document at `path`, or of the one of this name that comes with raysearch.

    Of a search document it is the cost sheet of the first student. `overrides` change the document first.
    `ecapa`: channels of an ECAPA-TDNN, a common back end of speaker models, which is put behind the encoder.
    Raises: InputError if the document is neither an encoder nor a search, or an override is wrong.
    """
    path = find_document(path, ENCODERS, SPACES)
    document = read_mapping(path, "an encoder or search document")
    # Every encoder document names a front end or is convolutional. Anything else can only be a search document.
    if "front_end" not in document and document.get("kind") != "conv":
        return student_sheet(load_spec(path, overrides), ecapa)
    override(document, overrides)
    return CostSheet(as_config(document, path), ecapa_of(ecapa))


def student_sheet(spec: Spec, ecapa: int | None) -> CostSheet:
    """The cost sheet of a search's first student.

    It is the first point of `search.start`, or else a student with the settings that its method has by itself.
    """
    start = spec.search.start[0] if spec.search.start else {}
    config: Config = {"method": spec.methods[0], **start}
    # Only methods for speakers have a back end.
    backend = getattr(load_method(spec.methods[0]), "backend", lambda settings: None)
    student = spec.student_config(config, teacher_shape(spec))
    return CostSheet(student, ecapa_of(ecapa) or backend(spec.settings(config)))


def ecapa_of(channels: int | None) -> BackendSettings | None:
    """The settings of an ECAPA-TDNN of so many channels. None stands for no back end."""
    return None if channels is None else BackendSettings(channels=channels)


def teacher_shape(spec: Spec) -> AnyConfig:
    """The teacher's config, known before any weights are there.

    Such a teacher is trained by the search, lies in a folder that raysearch wrote, or is one that torchaudio publishes.
    Raises: InputError if the shape is known only once the weights are downloaded or imported.
    """
    teacher = spec.teacher
    if isinstance(teacher, TrainedTeacher):
        return teacher.encoder()
    kind, bundle = split_source(teacher.source)
    if not kind:
        return read_config(Path(teacher.source, "config.json"))
    if kind != "torchaudio" or bundle not in PUBLISHED:
        raise InputError(
            f"teacher.source: {teacher.source}; expected one whose shape is known: a folder of ours, or "
            f"torchaudio's {', '.join(PUBLISHED)}"
        )
    return PUBLISHED[bundle]
