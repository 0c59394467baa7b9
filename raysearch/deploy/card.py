"""Writes the model card: what a registered model is, what it was trained on, and where its limits are.

All errors and times on it were measured on the exported files.
"""

from __future__ import annotations

from raysearch.corpora.corpus import Corpus
from raysearch.deploy.manifest import Manifest, Measured, Rate
from raysearch.deploy.runtime.transcribe import OVERLAP_S, WINDOW_S
from raysearch.front.document import SearchDocument
from raysearch.front.trials import TrialRecord
from raysearch.spec.document import Spec

FIELD_TASKS = ("classification", "intent")


def model_card(
    manifest: Manifest, spec: Spec, document: SearchDocument, record: TrialRecord, corpus: Corpus, notes: list[str]
) -> str:
    """The card as Markdown. It shows the picture of the front that lies beside it as `front.png`."""
    hours = ", ".join(
        f"{split} {corpus.hours(split):.2f} h ({len(corpus.splits[split])} cuts)" for split in corpus.splits
    )
    settings = ", ".join(f"`{key}` {value}" for key, value in record.config.items())
    sections = [
        f"# {manifest.search}, trial {manifest.trial}",
        f"{_what(manifest)} Trained by `{record.method}` from a larger teacher; chosen from the front of a search over "
        f"{len(document.trials)} trials.",
        "## Size",
        f"{manifest.macs_g:.4g} GMAC over SUPERB's 32 utterances, {manifest.params_m:.4g} M parameters, head excluded."
        f" Settings: {settings}.",
        "## Data",
        f"Corpus `{corpus.name}`: {hours}. Trained on train, chosen on dev, measured on test.",
        "## Measured",
        f"Of the exported files, on this corpus' test split; {manifest.metric.upper()} in percent with 95 % bootstrap "
        f"intervals over {'speakers' if manifest.task == 'speaker' else 'cuts'}.",
        _table(manifest.measured),
        *_groups(manifest.measured),
        "## Front",
        "![The front; the registered trial is ringed.](front.png)",
        *(["Cannot be told apart: " + "; ".join(notes) + "."] if notes else []),
        "## Limits",
        _limits(manifest, spec, corpus),
    ]
    return "\n\n".join(sections) + "\n"


def _what(manifest: Manifest) -> str:
    if manifest.task == "speaker":
        return "A speech encoder with a speaker back end: 16 kHz waveform in, an embedding of length 1 out."
    if manifest.task in FIELD_TASKS:
        return f"A speech encoder with a head for {manifest.task}: 16 kHz waveform in, one answer a recording out."
    return f"A speech encoder with a CTC head for {manifest.task}: 16 kHz waveform in, text out."


def _table(rows: list[Measured]) -> str:
    lines = ["| file | MB | error % | latency ms, median (p95) | real-time factor |", "|:--|--:|--:|--:|--:|"]
    for row in rows:
        latency = row.latency
        lines.append(
            f"| {row.file} | {row.size_bytes / 1e6:.2f} | {_rate(row.error)} | "
            f"{latency.median_ms:.2f} ({latency.p95_ms:.2f}) | {latency.rtf:.5f} |"
        )
    under = rows[0].latency
    lines += ["", f"Latency: {under.seconds:g} s of audio, batch {under.batch}, {under.threads} CPU thread(s)."]
    return "\n".join(lines)


def _groups(rows: list[Measured]) -> list[str]:
    if not rows[0].groups:
        return ["No error by group: none was measured."]
    shown = "; ".join(f"{name}: {_rate(rate)} of {rate.cuts} cuts" for name, rate in rows[0].groups.items())
    return [f"By the speakers' gender ({rows[0].file}): {shown}."]


def _rate(rate: Rate) -> str:
    return f"{rate.value:.2f} ({rate.low:.2f} - {rate.high:.2f})"


def _limits(manifest: Manifest, spec: Spec, corpus: Corpus) -> str:
    speaks, answers = manifest.task == "speaker", manifest.task in FIELD_TASKS
    windows = "averaged over windows" if speaks or answers else f"read in windows that overlap by {OVERLAP_S} s"
    train_h, test_cuts = corpus.hours("train"), len(corpus.splits["test"])
    lines = [
        f"Read it as what {train_h:.2f} h of training speech and {test_cuts} test cuts can show: intervals are over "
        f"{'speakers' if speaks else 'cuts'}, and say little of other speakers, rooms, microphones or languages.",
        "16 kHz mono only; nothing is resampled. Not streaming: every frame sees the whole recording. Recordings over "
        f"{WINDOW_S} s are {windows}.",
    ]
    if speaks:
        lines.append(
            "Plain cosines; a threshold set on dev may be off elsewhere. Voices change: it is no proof of who spoke."
        )
    elif answers:
        lines.append("It knows the values of the training split only, and has no answer for none of them.")
    else:
        lines.append("Greedy reading without a language model; only symbols of the training split can be emitted.")
    if spec.corpus.kind == "synthetic":
        # First, since it outweighs all other limits.
        lines.insert(0, "The speech is synthetic: these errors say nothing about people.")
    return "\n".join(f"- {line}" for line in lines)
