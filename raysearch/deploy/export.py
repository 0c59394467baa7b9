"""Exports a trial: writes its student and head as files that can be shipped, in the formats that were asked for.

An export holds `checkpoint/` (safetensors and JSON), `export.json`, `README.md`, and of `model.onnx` (fp32), the ONNX
files of other precisions, such as `model.int8.onnx`, and `model.pt2` those that were asked for. None of them can
stream: each needs the whole recording. Another layout has the files that its runtime loads.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path

from raysearch.corpora.readers.table import read_corpus
from raysearch.deploy.layouts.layout import Format, Order
from raysearch.deploy.layouts.readme import README_NAME, readme
from raysearch.deploy.layouts.table import LAYOUTS, OWN
from raysearch.deploy.manifest import CHECKPOINT_NAME, Manifest
from raysearch.deploy.runtime.transcribe import Audio, sha256
from raysearch.encoder import cost
from raysearch.errors import InputError
from raysearch.exported.onnx_file import layout as onnx_layout
from raysearch.exported.quantised import calibration_speech
from raysearch.exported.settings import Precision
from raysearch.exported.speech_model import Recogniser
from raysearch.files.whole import whole_folder
from raysearch.front.objective import axes
from raysearch.front.trials import TrialRecord
from raysearch.search.reading import read_document
from raysearch.storage.folder import SearchFolder
from raysearch.tasks.head import head_folder
from raysearch.tasks.settings import TaskSettings

# Packages whose versions an export is marked with: they decide what its files contain.
PACKAGES = ("raysearch", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")


def export_trial(
    folder: SearchFolder,
    number: int,
    out: Path,
    *,
    task: str | None = None,
    formats: Sequence[Format] = ("onnx",),
    precisions: Sequence[Precision] = (),
    layout: str = OWN,
    say: Callable[[str], None] = lambda line: None,
) -> Manifest:
    """Writes the export of a trial to `out`, which must be new or empty. Returns its manifest.

    `precisions` are those of the ONNX files, by default the one in which the trial was judged. `layout`: whose runtime
    the files are for, as in the table of layouts.
    Raises: InputError if there is no such trial, it has no checkpoint, the layout cannot express it, or `out` is in
    use.
    """
    settings = _task(folder, task)
    record = find_trial(folder, number)
    if out.exists() and any(out.iterdir()):
        raise InputError(f"-o: {out} is not empty; expected a new folder")
    trial, spec = folder.trial(record.number), folder.spec()
    deploy = spec.deploy_of(record.config)
    precisions = precisions or [deploy.precision]
    # Loaded before anything is written: a damaged checkpoint leaves no folder behind.
    recogniser = Recogniser.of_trial(trial, settings.kind)
    LAYOUTS[layout].check_order(recogniser, formats, precisions if "onnx" in formats else (), layout)
    config = recogniser.encoder.config
    if "pt2" in formats and recogniser.recurrent:
        raise InputError("--format: pt2; expected onnx or safetensors, as torch alone cannot load a recurrent head")

    def calibration() -> list[Audio]:
        return calibration_speech(read_corpus(spec.corpus, folder.store.corpora), onnx_layout(recogniser))

    # The folder gets its name when all of it is written, so that a killed export is not taken for a whole one.
    with whole_folder(out) as part:
        recogniser.save(part / CHECKPOINT_NAME)
        LAYOUTS[layout].write(Order(recogniser, part, formats, precisions, say, calibration))
        files = sorted(path for path in part.rglob("*") if path.is_file())
        manifest = Manifest(
            search=folder.name,
            root=folder.root,
            trial=number,
            task=settings.kind,
            metric=settings.metric,
            layout=layout,
            precision=deploy.precision,
            macs_g=cost.macs_superb(config) / 1e9,
            params_m=cost.params(config) / 1e6,
            source=source_digests(trial, settings.kind),
            files={path.relative_to(part).as_posix(): sha256(path) for path in files},
            versions={name: importlib.metadata.version(name) for name in PACKAGES},
        )
        manifest.save(part)
        card = readme(manifest, record, spec, recogniser)
        (part / README_NAME).write_text(card, encoding="utf-8")
    return manifest


def find_trial(folder: SearchFolder, number: int) -> TrialRecord:
    """The record of the trial with this number.

    Raises: InputError if the search has no such trial.
    """
    trials = {trial.number: trial for trial in read_document(folder).trials}
    if number not in trials:
        known = f"0 to {max(trials)}" if trials else "none yet"
        raise InputError(f"{folder.name}: trial {number}: no such trial; expected one of: {known}")
    return trials[number]


def source_digests(trial: Path, task: str) -> dict[str, str]:
    """The sha256 of each file of weights that an export of this task comes from, by its path in the trial's folder."""
    folders = (trial / "student", head_folder(trial, task))
    files = sorted(path for folder in folders for path in folder.glob("*.safetensors"))
    return {path.relative_to(trial).as_posix(): sha256(path) for path in files}


def _task(folder: SearchFolder, asked: str | None) -> TaskSettings:
    spec = folder.spec()
    if asked is None:
        _, error = axes(spec.objectives)
        return next(task for task in spec.tasks if task.metric == error)
    for task in spec.tasks:
        if task.kind == asked:
            return task
    raise InputError(f"--task: {asked}; expected one of {', '.join(task.kind for task in spec.tasks)}")
