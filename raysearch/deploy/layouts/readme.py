"""Writes the README of an export: a model card with a header that the Hugging Face Hub reads, and how to run the files.

People may change it, so the manifest does not hold its digest.
"""

from __future__ import annotations

from math import isfinite, nan
from typing import Any

import yaml

from raysearch.deploy.layouts.table import LAYOUTS
from raysearch.deploy.manifest import Manifest
from raysearch.exported.speech_model import Recogniser
from raysearch.front.trials import TrialRecord
from raysearch.spec.document import Spec

Interval = tuple[float, float, float]
README_NAME = "README.md"
PIPELINES = {
    "asr": "automatic-speech-recognition",
    "phonemes": "automatic-speech-recognition",
    "slots": "automatic-speech-recognition",
    "classification": "audio-classification",
    "intent": "audio-classification",
    "speaker": "audio-classification",
}
"""What the Hub calls each kind of task."""
HUB_NAMES = {
    "torchaudio:HUBERT_BASE": "facebook/hubert-base-ls960",
    "torchaudio:HUBERT_LARGE": "facebook/hubert-large-ll60k",
    "torchaudio:WAV2VEC2_BASE": "facebook/wav2vec2-base",
    "torchaudio:WAVLM_BASE": "microsoft/wavlm-base",
    "torchaudio:WAVLM_BASE_PLUS": "microsoft/wavlm-base-plus",
    "torchaudio:WAVLM_LARGE": "microsoft/wavlm-large",
}
"""Where the Hub has teachers that come from elsewhere."""


def readme(manifest: Manifest, record: TrialRecord, spec: Spec, recogniser: Recogniser) -> str:
    """The README as Markdown, behind its YAML header."""
    shape, errors = LAYOUTS[manifest.layout], _errors(manifest, record)
    teacher = "a teacher that was trained for it" if spec.teacher.source == "train" else f"`{spec.teacher.source}`"
    header = yaml.safe_dump(_header(manifest, record, spec, errors), sort_keys=False, allow_unicode=True)
    # The exact one first: its name is the shortest.
    first = min(manifest.models, key=len, default="checkpoint")
    size = f"{manifest.macs_g:.4g} GMAC over SUPERB's 32 utterances and {manifest.params_m:.4g} M parameters"
    sections = [
        # What is not known is said where it would stand, since a card without a licence is found too late.
        f"---\n{header}# license: the data, the teacher and you decide it; add it before you publish\n---",
        f"# {manifest.search}, trial {manifest.trial}",
        f"A small speech model for the task `{manifest.task}`, trained by `{record.method}` from {teacher}. "
        f"{size}, head excluded.",
        f"## {manifest.metric.upper()}\n\nIn percent on corpus `{spec.corpus.kind}`, with 95 % intervals.",
        _table(manifest, errors),
        "## Use",
        f"The files are laid out for {shape.runtime}. They take 16 kHz mono and whole recordings; none can stream.",
        f"```python\n{shape.usage(recogniser, first)}\n```",
        "Where the search and its corpus lie, `raysearch verify DIR` runs these files beside their checkpoint.",
    ]
    return "\n\n".join(sections) + "\n"


def _header(manifest: Manifest, record: TrialRecord, spec: Spec, errors: dict[str, Interval]) -> dict[str, Any]:
    """What the Hub reads: runtime, task, tags, the base model where the Hub has it, and the errors."""
    task, corpus, metric = PIPELINES[manifest.task], spec.corpus.kind, manifest.metric
    metrics = [
        {"type": metric, "name": f"{metric.upper()} on {split}, %", "value": round(value, 2)}
        for split, (value, _, _) in errors.items()
    ]
    result = {"task": {"type": task}, "dataset": {"name": corpus, "type": corpus}, "metrics": metrics}
    base = HUB_NAMES.get(spec.teacher.source)
    return {
        "library_name": LAYOUTS[manifest.layout].runtime,
        "pipeline_tag": task,
        "tags": ["raysearch", "speech", manifest.task, record.method],
        **({"base_model": base} if base else {}),
        "model-index": [{"name": f"{manifest.search}-{manifest.trial}", "results": [result]}],
    }


def _errors(manifest: Manifest, record: TrialRecord) -> dict[str, Interval]:
    """Value and ends of the error by split, in percent: of the shipped file where it was measured, or as recorded."""
    found = {}
    for split, key in (("dev", "eval"), ("test", "test")):
        value, low, high = (record.metrics.get(f"{key}/{manifest.metric}{end}", nan) for end in ("", "_low", "_high"))
        if isfinite(value):
            found[split] = (value, low, high)
    for row in manifest.measured[:1]:
        found[row.split] = (row.error.value, row.error.low, row.error.high)
    return found


def _table(manifest: Manifest, errors: dict[str, Interval]) -> str:
    measured = {row.split: f"`{row.file}`, measured" for row in manifest.measured[:1]}
    rows = [
        f"| {split} | {value:.2f} | {low:.2f} - {high:.2f} | {measured.get(split, 'the checkpoint, in the search')} |"
        for split, (value, low, high) in errors.items()
    ]
    return "\n".join(["| split | error | interval | of |", "|:--|--:|--:|:--|", *rows])
