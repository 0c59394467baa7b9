"""Tells the errors of one or two trials cut by cut, with what was said and read, and plays a cut's recording.

All of it lies in the folder of the search, so only a server that can read this folder tells it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlflow_server.storage import trial_folder
from raysearch.errors import InputError
from raysearch.evidence.kept import FILE, CutBasis, Judged, agreeing, read_evidence
from raysearch.evidence.texts import BETWEEN, CutTexts, read_texts
from raysearch.evidence.texts import FILE as TEXTS
from raysearch.front.trials import TrialRecord

LONGEST_S = 60.0
"""The most of a recording that is sent, in seconds."""


def shared_errors(search: Path, trials: Sequence[TrialRecord], name: str) -> dict[str, Any]:
    """The errors of trials on the same cuts, by the name of the error, such as `eval/per`.

    There is one row for each cut: its id, the length of its reference, errors and texts of each trial, and whether its
    recording can be played.

    Raises: InputError if a trial has kept none, or the trials were judged on other cuts.
    """
    found = [_judged(search, trial, name) for trial in trials]
    basis = found[0].basis
    if not isinstance(basis, CutBasis):
        raise InputError(f"{name}: scores of pairs; expected errors that are counted in single recordings")
    if any(one.basis != basis for one in found):
        raise InputError(f"{name}: trials that were judged on other recordings; expected the same ones")
    texts = [_texts(search, trial, name, basis) for trial in trials]
    said = next((one for one in texts if one), None)
    return {
        "trials": [trial.number for trial in trials],
        "rows": [
            {
                "cut": cut,
                "length": length,
                "errors": [one.found[at] for one in found],
                "reference": said.references[at].split(BETWEEN) if said else None,
                "hypotheses": [one.hypotheses[at].split(BETWEEN) if one else None for one in texts],
                "playable": bool(said and said.recordings[at]),
            }
            for at, (cut, length) in enumerate(zip(basis.cuts, basis.lengths, strict=True))
        ],
    }


def _judged(search: Path, trial: TrialRecord, name: str) -> Judged:
    file = trial_folder(search, trial.number) / FILE
    kept = agreeing(read_evidence(file), trial.metrics)
    if name not in kept:
        raise InputError(
            f"trial {trial.number}: no {name} cut by cut; expected it in {FILE}, as later versions keep it"
        )
    return kept[name]


def _texts(search: Path, trial: TrialRecord, name: str, basis: CutBasis) -> CutTexts | None:
    """The texts of a trial, if it kept any of the same cuts."""
    kept = read_texts(trial_folder(search, trial.number) / TEXTS).get(name)
    return kept if kept is not None and kept.cuts == basis.cuts else None


def recording(search: Path, number: int, name: str, cut: str) -> bytes:
    """The audio of a cut as a WAV file, of at most `LONGEST_S` seconds.

    Raises: InputError if the trial names no such cut, or its recording is not where this server can read it.
    """
    import soundfile

    kept = read_texts(trial_folder(search, number) / TEXTS).get(name)
    if kept is None or cut not in kept.cuts:
        raise InputError(f"trial {number}: {name}: no cut {cut[:100]}; expected one that was judged")
    at = kept.cuts.index(cut)
    try:
        with soundfile.SoundFile(kept.recordings[at]) as file:
            file.seek(round(kept.starts_s[at] * file.samplerate))
            samples = file.read(round(min(kept.durations_s[at], LONGEST_S) * file.samplerate))
            rate = file.samplerate
    except (soundfile.LibsndfileError, OSError, TypeError) as err:
        raise InputError(f"cut {cut[:100]}: its recording cannot be read here; expected a file on this server") from err
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="WAV", subtype="PCM_16")
    return content.getvalue()
