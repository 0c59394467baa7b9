"""Reads lhotse's Shar archives, in a folder or at a URI. They go one after the other into memory, and never to disk.

A split is a folder of pairs of files `cuts.000000.jsonl.gz` and `recording.000000.tar`, as `CutSet.to_shar` writes
them. The manifests are read at once, and take about 1 kB for each cut. Audio is read when it is wanted, a whole archive
at a time. So a recording that does not decode is found only then. It is left out of its batch and counted.
"""

from __future__ import annotations

import io
import logging
import tarfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from lhotse.cut import MonoCut
from lhotse.utils import fastcopy
from tenacity import before_sleep_log, retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from raysearch.corpora.audio import decode_speech
from raysearch.corpora.batches import AudioStore, UnreadableError
from raysearch.corpora.corpus import Corpus, Fault
from raysearch.corpora.readers.manifests import mono_cut, name_of, transcript_fault, upper_case
from raysearch.corpora.readers.reading import select
from raysearch.corpora.readers.text import json_lines
from raysearch.corpora.settings import SPLITS, SharSettings
from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.errors import AwayError, InputError, WorkError, counted
from raysearch.files.remote import Remote, is_remote

IN_MEMORY = 4
"""Archives kept in memory at once, as many as training shuffles together."""
ATTEMPTS = 6
"""Attempts to read an archive whose connection breaks. They take about half a minute."""

_log = logging.getLogger(__name__)


def read_shar(settings: SharSettings, cache: Path | None = None) -> Corpus:
    """The corpus in the archives. Their audio is not looked at yet, so that `cache` stays as it is.

    Raises: InputError if a split has no archives, a manifest is not JSON lines, or too much cannot be used.
    """
    splits, everything, total = {}, [], 0
    for split in SPLITS:
        place = getattr(settings.splits, split)
        cuts, faults = _read_split(split, place)
        splits[split], left_out = select(split, cuts, faults, settings)
        everything += left_out
        total += len(cuts)
    archives = Archives(most_unreadable=int(settings.max_skipped * total))
    name = settings.splits.train.rstrip("/").rpartition("/")[2]
    return Corpus(name, splits, tuple(everything), audio=AudioStore(read=archives.read))


class Archives:
    """A cache in memory of the last few archives that were asked for."""

    def __init__(self, most_unreadable: int) -> None:
        self._most_unreadable = most_unreadable
        self.unreadable: dict[str, str] = {}
        """Reason why each cut could not be read, by the id of the cut."""
        self._open: OrderedDict[str, dict[str, bytes]] = OrderedDict()

    def read(self, cut: MonoCut) -> np.ndarray:
        """The 16-bit samples of a cut.

        Raises: UnreadableError if they cannot be used, InputError once there are too many such cuts, WorkError if
        the archive cannot be read.
        """
        # A piece of a cut has an id of its own, but its source still names the cut.
        archive, _, name = str(cut.recording.sources[0].source).rpartition("#")
        content = self._members(archive).get(name)
        try:
            if content is None:
                raise self._unreadable(archive, name, "not in its archive")
            return decode_speech(io.BytesIO(content), round(cut.start * SAMPLE_RATE_HZ), cut.num_samples)
        except ValueError as err:
            raise self._unreadable(archive, name, str(err)) from err

    def _members(self, archive: str) -> dict[str, bytes]:
        """The content of an archive: encoded audio by the id of its cut."""
        if archive not in self._open:
            while len(self._open) >= IN_MEMORY:
                # The archive that was asked for longest ago goes first.
                self._open.popitem(last=False)
            self._open[archive] = dict(_unpacked(archive))
        self._open.move_to_end(archive)
        return self._open[archive]

    def _unreadable(self, archive: str, name: str, reason: str) -> UnreadableError | InputError:
        self.unreadable[name] = reason
        _log.warning("%s: %s: %s; left out (%d so far)", archive, name, reason, len(self.unreadable))
        if len(self.unreadable) > self._most_unreadable:
            return InputError(
                f"corpus.max_skipped: {counted(len(self.unreadable), 'recording')} cannot be read, the last {name} "
                f"({reason}) of {archive}; expected at most {self._most_unreadable}"
            )
        return UnreadableError(f"{name}: {reason}")


def _unpacked(archive: str) -> Iterator[tuple[str, bytes]]:
    try:
        content = _fetch(archive)
    except (OSError, AwayError) as err:
        raise WorkError(f"{archive}: {err}; given up after {ATTEMPTS} attempts") from err
    try:
        # Not packed: what is would be unpacked without a bound.
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for member in tar:
                stem, _, suffix = member.name.rpartition(".")
                file = tar.extractfile(member)
                if suffix != "json" and file is not None:
                    yield stem, file.read()
    except tarfile.TarError as err:
        # What was unpacked before is good. The other cuts of the archive are found missing one by one.
        _log.warning("%s: %s", archive, err)


@retry(
    retry=retry_if_exception_type((OSError, AwayError)),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_exponential(multiplier=1, max=16),
    before_sleep=before_sleep_log(_log, logging.WARNING),
    reraise=True,
)
def _fetch(file: str) -> bytes:
    """The content of a whole file. Raises: OSError or AwayError if it cannot be read, after several attempts."""
    if not is_remote(file):
        return Path(file).read_bytes()
    folder, _, name = file.rpartition("/")
    content = Remote(folder).read(name)
    if content is None:
        raise OSError(f"{file}: no such file")
    return content


def _read_split(split: str, place: str) -> tuple[list[MonoCut], list[Fault]]:
    cuts: dict[str, MonoCut] = {}
    faults = []
    manifests = [name for name in _names(place) if name.startswith("cuts.") and ".jsonl" in name]
    if not manifests:
        raise InputError(f"corpus.splits.{split}: {place}: no cuts.*.jsonl[.gz]; expected a folder of Shar archives")
    for name in sorted(manifests):
        archive = f"{place.rstrip('/')}/recording.{name.split('.')[1]}.tar"
        for number, document in _lines(split, f"{place.rstrip('/')}/{name}"):
            try:
                cut = mono_cut(document)
            except ValueError as err:
                faults.append(Fault(name_of(document, f"{name}:{number}"), str(err)))
                continue
            reason = _unfit(cut) or ("cut id used twice" if cut.id in cuts else None)
            if reason:
                faults.append(Fault(cut.id, reason))
            else:
                cuts[cut.id] = _in_archive(cut, archive)
    return list(cuts.values()), faults


def _names(place: str) -> list[str]:
    if is_remote(place):
        return [name for name in Remote(place).files("") if "/" not in name]
    return [path.name for path in Path(place).glob("*") if path.is_file()]


def _lines(split: str, manifest: str) -> Iterator[tuple[int, object]]:
    where = f"corpus.splits.{split}: {manifest}"
    try:
        content = _fetch(manifest)
    except (OSError, AwayError) as err:
        raise InputError(f"{where}: {err}; expected JSON lines in UTF-8") from err
    return json_lines(content, where)


def _unfit(cut: MonoCut) -> str | None:
    if cut.recording is None or len(cut.recording.sources) != 1 or cut.recording.sources[0].type != "shar":
        return "audio is not in an archive"
    if cut.sampling_rate != SAMPLE_RATE_HZ:
        return f"manifest says {cut.sampling_rate} Hz; expected {SAMPLE_RATE_HZ} Hz"
    if len(cut.supervisions) != 1:
        return f"{len(cut.supervisions)} supervisions; expected 1"
    return transcript_fault(cut)


def _in_archive(cut: MonoCut, archive: str) -> MonoCut:
    # The source names the archive too, so that batches can be made archive by archive.
    source = fastcopy(cut.recording.sources[0], source=f"{archive}#{cut.id}")
    plain = upper_case(cut)
    return fastcopy(plain, recording=fastcopy(plain.recording, sources=[source]))
