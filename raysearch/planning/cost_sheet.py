"""The cost sheet: what an encoder, or a student of a search document, costs in MACs and parameters.

The figures come from the encoder's config alone. Nothing is trained, and nothing built but what Hugging Face or fairseq
wrote: what their files describe is known once they are read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from raysearch.encoder.config import AnyConfig
from raysearch.encoder.cost import cost_parts, params
from raysearch.encoder.document import as_config, read_config
from raysearch.encoder.frames import frames
from raysearch.encoder.imports.source import split_source
from raysearch.encoder.published import PUBLISHED
from raysearch.errors import InputError
from raysearch.files.bundled import ENCODERS, SPACES, find_document
from raysearch.files.yaml_text import read_mapping
from raysearch.methods.table import load_method
from raysearch.search.costs import SHAPELESS, Costs
from raysearch.spec.document import Spec
from raysearch.spec.loading import load_spec
from raysearch.spec.overrides import Overrides, override
from raysearch.spec.space import Config, Space
from raysearch.tasks.settings import BackendSettings
from raysearch.tasks.speaker.backend_cost import backend_macs, backend_params
from raysearch.tasks.superb import SuperbHead, superb_backend, superb_head_of
from raysearch.teachers.settings import TrainedTeacher
from raysearch.teachers.shape import known_shape


@dataclass(frozen=True)
class CostSheet:
    """An encoder, with what a speaker model adds behind it, ready to be costed at any lengths."""

    encoder: AnyConfig
    backend: BackendSettings | None
    """The back end that turns a speaker model's frames into an embedding. None for other models."""
    head: SuperbHead | None = None
    """SUPERB's head for the search's first task, with as many outputs as are published. None for linear heads, which
    are not counted."""
    student: Config | None = None
    """Method and searched settings of the student that the encoder is; None where it is no student."""
    range: tuple[CostSheet, CostSheet] | None = None
    """The cheapest and the dearest student of the space; None where it is no student."""

    def document(self, samples: Sequence[int]) -> dict[str, Any]:
        """The costs that `raysearch cost --json` prints, for utterances of these lengths in samples.

        MACs are in GMAC. `macs_total_g` and `params_total` include the back end or SUPERB's head, and are there only
        with one.
        """
        macs = cost_parts(self.encoder, samples)
        found: dict[str, Any] = {
            **({"student": self.student} if self.student else {}),
            "params": params(self.encoder),
            "macs_g": sum(macs.values()) / 1e9,
            "parts_g": {part: cost / 1e9 for part, cost in macs.items()},
        }
        if self.range:
            least, most = (one.document(samples) for one in self.range)
            found["space"] = {"least": least, "most": most}
        if self.backend is not None:
            behind, more = backend_macs(self.backend, self.encoder, samples), backend_params(self.backend, self.encoder)
        elif self.head is not None:
            behind = self.head.macs([frames(self.encoder, count) for count in samples])
            more = self.head.params(self.encoder.depth + 1)
        else:
            return found
        return found | {"params_total": found["params"] + more, "macs_total_g": found["macs_g"] + behind / 1e9}


def cost_sheet(given: Path, overrides: Overrides, ecapa: int | None) -> CostSheet:
    """The cost sheet of a document, of the one of this name that comes with raysearch, or of an encoder's folder.

    Of a search document it is the cost sheet of one student. `overrides` change the document first. An encoder that
    another library wrote is named as a teacher is: `torchaudio:NAME`, `hf:FOLDER` or `fairseq:FILE`.
    `ecapa`: channels of an ECAPA-TDNN, a common back end of speaker models, which is put behind the encoder.
    Raises: InputError if the document is neither an encoder nor a search, or an override is wrong.
    """
    kind, _ = split_source(str(given))
    if kind:
        path, document = given, encoder_at(str(given)).model_dump()
    else:
        path = find_document(given, ENCODERS, SPACES)
        path = path / "config.json" if path.is_dir() else path
        document = read_mapping(path, "an encoder or search document")
    if "model_type" in document:
        raise InputError(f"{given}: a folder of Hugging Face's transformers; expected it as hf:{path.parent}")
    # Every encoder document names a front end or is convolutional. Anything else can only be a search document.
    if "front_end" not in document and document.get("kind") != "conv":
        return student_sheet(load_spec(path, overrides), ecapa)
    override(document, overrides)
    return CostSheet(as_config(document, path), ecapa_of(ecapa))


def student_sheet(spec: Spec, ecapa: int | None) -> CostSheet:
    """The cost sheet of one student of a search: of the first point of `search.start`, or else of the dearest.

    It holds those of the cheapest and the dearest student of the space, whatever the limits.
    Raises: InputError if no point of the space has a student.
    """
    costs = Costs(spec, teacher_shape(spec))
    least, most = (_sheet(spec, costs, _extreme(spec, costs, sign), ecapa) for sign in (1, -1))
    if not spec.search.start:
        return replace(most, range=(least, most))
    # What a start point leaves to the sampler is as of the dearest.
    start = {"method": spec.methods[0], **spec.search.start[0]}
    point = _at(spec.search_space, str(start["method"]), {**(most.student or {}), **start})
    return replace(_sheet(spec, costs, point, ecapa), range=(least, most))


def _sheet(spec: Spec, costs: Costs, config: Config, ecapa: int | None) -> CostSheet:
    # Only methods for speakers have a back end, and else their task may have SUPERB's.
    backend = getattr(load_method(str(config["method"])), "backend", lambda settings: None)(spec.settings(config))
    shape = {key: value for key, value in config.items() if not key.startswith(SHAPELESS)}
    student = spec.student_config(config, costs.teacher)
    behind = ecapa_of(ecapa) or backend or superb_backend(spec.tasks[0])
    return CostSheet(student, behind, None if behind else superb_head_of(spec.tasks[0], student), shape)


def _extreme(spec: Spec, costs: Costs, sign: int) -> Config:
    """The cheapest configuration of the space, or with a `sign` of -1 the dearest.

    One setting after the other is moved to its best end, until none helps. Almost every setting of a shape only adds to
    the cost, or only takes from it, whatever the others are.
    """

    def judged(config: Config) -> float:
        try:
            return sign * costs(config).macs_g
        except InputError:  # no student has these settings
            return math.inf

    space, found = spec.search_space, []
    for method in spec.methods:
        picks: Config = {}
        best, settled = _at(space, method, picks), False
        while not settled:
            settled = True
            for key in [key for key in best if key != "method" and not key.startswith(SHAPELESS)]:
                for value in spec.space[key].values(limit=2):
                    other = _at(space, method, {**picks, key: value})
                    if judged(other) < judged(best):
                        picks, best, settled = {**picks, key: value}, other, False
        found.append(best)
    if math.isinf(judged(best := min(found, key=judged))):
        costs(best)  # raises what is wrong with it
    return best


def _at(space: Space, method: str, picks: Config) -> Config:
    """The point of the space with these settings, and of all others the first value."""
    return space.walk(lambda key, one: method if key == "method" else picks.get(key, one.values(limit=2)[0]))


def ecapa_of(channels: int | None) -> BackendSettings | None:
    """The settings of an ECAPA-TDNN of so many channels. None stands for no back end."""
    return None if channels is None else BackendSettings(channels=channels)


def teacher_shape(spec: Spec) -> AnyConfig:
    """The teacher's config, known before it is trained.

    Raises: InputError if the teacher is not there, or its shape is known only once it is downloaded.
    """
    if shape := known_shape(spec.teacher):
        return shape
    assert not isinstance(spec.teacher, TrainedTeacher), "the shape of a trained teacher is in its document"
    try:
        return encoder_at(spec.teacher.source)
    except InputError as err:
        raise InputError(f"teacher.source: {err}") from err


def encoder_at(source: str) -> AnyConfig:
    """The config of an encoder that exists, from wherever a teacher may come; nothing is downloaded.

    Raises: InputError if it is not there, or torchaudio would have to download it to tell.
    """
    kind, where = split_source(source)
    if not kind:
        return read_config(Path(source, "config.json"))
    if kind == "torchaudio":
        if where not in PUBLISHED:
            known = ", ".join(f"torchaudio:{name}" for name in PUBLISHED)
            raise InputError(
                f"{source}: known once it is downloaded; expected {known}, hf:DIR, fairseq:FILE or a folder"
            )
        return PUBLISHED[where]
    # Loading torch takes seconds, and the others do not need it.
    from raysearch.encoder.imports.source import read_encoder

    return read_encoder(source).config
