"""Verifies that an export computes what its checkpoint computes, on real audio of several lengths and in batches.

All checks are made and shown, even when the first one fails.
Shapes: B recordings, S samples, T frames, V tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import onnx

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.table import read_corpus
from raysearch.deploy.export import source_digests
from raysearch.deploy.layouts.table import LAYOUTS, OWN
from raysearch.deploy.manifest import CHECKPOINT_NAME, Manifest, load_manifest
from raysearch.deploy.runtime.transcribe import SAMPLE_RATE_HZ, Audio, Run
from raysearch.encoder import cost
from raysearch.encoder.frames import frames
from raysearch.errors import InputError
from raysearch.exported.measure import Hear, hearing, measure_error, measured_cuts, remembering, some_cuts
from raysearch.exported.onnx_cost import graph_macs
from raysearch.exported.onnx_file import layout, onnx_name
from raysearch.exported.runners import run_checkpoint, run_file
from raysearch.exported.settings import Precision
from raysearch.exported.speech_model import Recogniser
from raysearch.front.table import Column, plain
from raysearch.storage.folder import SearchFolder
from raysearch.tasks.head import SpeakerHeadConfig
from raysearch.tasks.speaker.backend_cost import backend_macs
from raysearch.training.report import read_report

LENGTHS = (1_600, 12_345, 16_000, 16_077, 240_000)
"""Samples of the recordings that are compared: 0.1 s, 1 s, 15 s, and two lengths that end within a frame."""
EXACT, EXACT_MEAN = 5e-3, 5e-4
"""Largest allowed difference of a log-probability, or of a part of an embedding, in fp32, and largest mean difference.
Sums in another order differ by 1e-5 to 1e-4. In mel bins that are nearly empty, the logarithm magnifies the rounding of
an FFT to 1e-3 in single frames."""
SAME_SYMBOLS = 0.001
"""Largest share of symbols in which somebody else's runtime may differ in fp32: two tokens may be as likely."""
SAME_POINTS = 0.1
"""Largest allowed difference of an fp32 error rate, in percent: one token of a thousand."""
LOSSY_POINTS = 1.0
"""Largest allowed rise of the error rate by fp16 or int8, in percent."""
ERROR_CUTS = 60
"""Cuts of dev on which error rates are compared."""
Split = Literal["dev", "test"]


@dataclass(frozen=True)
class Check:
    """One comparison, as a row of the table that `raysearch verify` prints."""

    check: str
    """What was compared."""
    expected: str
    got: str
    limit: str
    """Largest allowed difference; `-` if there is none."""
    ok: bool


@dataclass(frozen=True)
class Verdict:
    """All checks of an export."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def document(self) -> dict[str, Any]:
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}

    def table(self) -> str:
        shown = [[check.check, check.expected, check.got, check.limit] for check in self.checks]
        titles = ("check", "expected", "got", "limit")
        columns = [
            Column(title, cells, left=True) for title, cells in zip(titles, zip(*shown, strict=True), strict=True)
        ]
        columns.append(Column("", ["ok" if check.ok else "DIFFERS" for check in self.checks], left=True))
        return "\n".join(plain(columns))


def verify(
    out: Path, root: Path | None = None, say: Callable[[str], None] = lambda line: None, split: Split = "dev"
) -> Verdict:
    """Compares the export in `out` with the checkpoint in it, on some of its search's corpus.

    `root`: the folder of the searches, if it has moved since the export. `split`: `dev` takes some of its cuts, `test`
    all of them.
    Raises: InputError if a file of the export is missing or changed, the search is gone, or the runtime that the files
    are for is not installed.
    """
    manifest = load_manifest(out)
    folder = SearchFolder(root or manifest.root, manifest.search)
    folder.links()
    spec = folder.spec()
    say("verify: reading the corpus")
    corpus = read_corpus(spec.corpus, folder.store.corpora)
    return verify_against(out, manifest, folder.trial(manifest.trial), corpus, spec.search.seed, say, split)


def verify_against(
    out: Path,
    manifest: Manifest,
    trial: Path,
    corpus: Corpus,
    seed: int,
    say: Callable[[str], None] = lambda line: None,
    split: Split = "dev",
) -> Verdict:
    """Compares the export in `out` with its checkpoint, on `corpus`; `trial` is the trial's folder."""
    recogniser, shape = Recogniser.load(out / CHECKPOINT_NAME), LAYOUTS[manifest.layout]
    checks = [_source(manifest, trial)]
    run, meaning = run_checkpoint(recogniser), layout(recogniser)
    reference = remembering(hearing(run, meaning))
    most = ERROR_CUTS if split == "dev" else None
    audio_S = _speech(measured_cuts(corpus, "dev", meaning), corpus)
    say(f"verify: the checkpoint on {f'{most} {split} cuts at most' if most else f'all {split} cuts'}")
    expected = measure_error(reference, meaning, corpus, split, seed, most)[0]
    for name in manifest.models:
        lossy = any(f".{precision}." in name for precision in get_args(Precision))
        hear = remembering(shape.hear(out / name, recogniser))
        if manifest.layout == OWN:
            what = name
            say(f"verify: {name}")
            checks += _outputs(name, run_file(out / name), run, audio_S, lossy, recogniser.equal_lengths)
        else:
            what = f"{name} in {shape.runtime}"
            say(f"verify: {what}")
            heard = [corpus.audio.audio(cut) for cut in some_cuts(corpus, split, meaning, most)]
            checks.append(_heard(what, hear, reference, heard, split, lossy))
        got = measure_error(hear, meaning, corpus, split, seed, most)[0].value
        limit = LOSSY_POINTS if lossy else SAME_POINTS
        # A lossy file may be better by chance. An exact one must give the same error either way.
        ok = got - expected.value <= limit if lossy else abs(got - expected.value) <= limit
        counted = f"{what}: {manifest.metric} of {expected.cuts} {split} cuts"
        checks.append(Check(counted, f"{expected.value:.2f} %", f"{got:.2f} %", f"{limit} points", ok))
        if split == "test" and lossy and manifest.layout == OWN and name == onnx_name(manifest.precision):
            checks += _recorded(counted, got, trial, manifest)
        if name == "model.onnx" and manifest.layout == OWN:
            checks.append(_macs(out / name, recogniser))
    return Verdict(tuple(checks))


def _recorded(counted: str, got: float, trial: Path, manifest: Manifest) -> list[Check]:
    """The error that the trial was judged by on test, if the file that is measured now is what was judged."""
    _, metrics = read_report(trial) or (0, {})
    recorded = metrics.get(f"test/{manifest.metric}")
    if recorded is None:
        return []  # it was stopped before its last rung, and never heard test
    ok = abs(got - recorded) <= SAME_POINTS
    return [Check(f"{counted}, as recorded", f"{recorded:.2f} %", f"{got:.2f} %", f"{SAME_POINTS} points", ok)]


def _heard(what: str, hear: Hear, reference: Hear, heard: list[Audio], split: str, lossy: bool) -> Check:
    """What somebody else's runtime hears in each recording, and the checkpoint: symbols, or embeddings."""
    pairs = [(hear(audio_S), reference(audio_S)) for audio_S in heard]
    if isinstance(pairs[0][1], np.ndarray):
        apart = np.abs([one_E - other_E for one_E, other_E in pairs])
        ok = bool(np.isfinite(apart).all()) and (lossy or (apart.max() <= EXACT and apart.mean() <= EXACT_MEAN))
        name, limit = f"{what}: embeddings of {len(heard)} {split} cuts", "-" if lossy else f"{EXACT:g}, {EXACT_MEAN:g}"
        return Check(name, "0", f"max {apart.max():.1e}, mean {apart.mean():.1e}", limit, ok)
    count = sum(len(expected) for _, expected in pairs)
    other = sum(max(len(got), len(expected)) - _common(got, expected) for got, expected in pairs)
    shown = "the same" if not other else f"{other:,} differ"
    limit = "-" if lossy else f"{SAME_SYMBOLS:g} of them"
    ok = lossy or other <= SAME_SYMBOLS * count
    return Check(f"{what}: symbols of {len(heard)} {split} cuts", f"{count:,}", shown, limit, ok)


def _common(one: list[str], other: list[str]) -> int:
    """The symbols that two readings have in common, in order."""
    return sum(block.size for block in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks())


def _source(manifest: Manifest, trial: Path) -> Check:
    found = source_digests(trial, manifest.task)
    changed = [name for name, digest in manifest.source.items() if found.get(name) != digest]
    got = "the same" if not changed else f"differs: {', '.join(changed)}"
    return Check(f"checkpoint of trial {manifest.trial}", "the same", got, "-", not changed)


def _outputs(name: str, run: Run, reference: Run, audio_S: Audio, lossy: bool, equal_lengths: bool) -> list[Check]:
    # A small corpus may not fill the longest lengths.
    lengths = [length for length in LENGTHS if length <= len(audio_S)]
    batches = [[audio_S[:length]] for length in lengths]
    last = [SAMPLE_RATE_HZ] * 3 if equal_lengths else [lengths[-1], 16_077, 1_600]
    batches.append([audio_S[-length:] for length in last])
    checks = []
    for recordings in batches:
        try:
            most, mean, frames = _difference(run, reference, recordings)
        except (RuntimeError, ValueError) as err:
            # A file that does not run is a failed check, and not the end of the others.
            checks.append(Check(_name(name, recordings), "runs", " ".join(str(err).split())[:80], "-", False))
            continue
        limit = "-" if lossy else f"{EXACT:g}, {EXACT_MEAN:g}"
        ok = frames and np.isfinite(most) and (lossy or (most <= EXACT and mean <= EXACT_MEAN))
        shown = f"max {most:.1e}, mean {mean:.1e}" + ("" if frames else ", other frames")
        checks.append(Check(_name(name, recordings), "0", shown, limit, bool(ok)))
    return checks


def _name(name: str, recordings: list[Audio]) -> str:
    lengths = ", ".join(f"{len(audio_S) / SAMPLE_RATE_HZ:.4g}" for audio_S in recordings)
    return f"{name}: outputs, batch {len(recordings)} of {lengths} s"


def _difference(run: Run, reference: Run, recordings: list[Audio]) -> tuple[float, float, bool]:
    """The largest and the mean difference of the outputs, and whether the numbers of frames agree.

    The checkpoint reads each recording alone, so that padding cannot disturb what is expected.
    """
    samples_B = np.array([len(audio_S) for audio_S in recordings], dtype=np.int64)
    audio_BS = np.zeros((len(recordings), samples_B.max()), dtype=np.float32)
    for row_S, audio_S in zip(audio_BS, recordings, strict=True):
        row_S[: len(audio_S)] = audio_S
    outputs, frames_B = run(audio_BS, samples_B)
    differences = []
    for row, audio_S in enumerate(recordings):
        alone, alone_B = reference(audio_S[None].copy(), samples_B[row : row + 1])
        if alone_B[0] != frames_B[row]:
            return float("inf"), float("inf"), False
        # Of log-probabilities in frames only the valid frames count. Other outputs have no frames.
        got = outputs[row, : alone_B[0]] if outputs.ndim == 3 else outputs[row]
        differences.append(np.abs(got - alone[0]).ravel())
    flat = np.concatenate(differences)
    return float(flat.max()), float(flat.mean()), True


def _macs(file: Path, recogniser: Recogniser) -> Check:
    samples = 10 * SAMPLE_RATE_HZ
    config, head = recogniser.encoder.config, recogniser.head.config
    expected, found = cost.macs(config, samples), graph_macs(onnx.load(file), samples)
    got = found.encoder
    if isinstance(head, SpeakerHeadConfig):
        expected, got = expected + backend_macs(head.backend, config, samples), found.encoder + found.head
    elif superb := head.superb:
        expected, got = expected + superb.macs([frames(config, samples)]), found.encoder + found.head
    return Check(f"{file.name}: MACs of 10 s", f"{expected:,}", f"{got:,}", "0", got == expected)


def _speech(cuts: list[Any], corpus: Corpus) -> Audio:
    """Speech as long as the longest length that is compared: cuts put end to end."""
    parts: list[Audio] = []
    for cut in cuts:
        parts.append(corpus.audio.audio(cut))
        if sum(map(len, parts)) >= max(LENGTHS):
            break
    audio_S: Audio = np.concatenate(parts)[: max(LENGTHS)]
    if len(audio_S) < LENGTHS[3]:
        raise InputError(f"dev split: {len(audio_S)} samples in all; expected at least {LENGTHS[3]} to verify on")
    return audio_S
