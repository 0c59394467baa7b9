"""The hidden states of one layer of a teacher in a folder, as they are read from disk.

A batch reads its cuts from a file that is mapped into memory, never the whole of it. So each cut has a checksum.

Shapes: U kept frames, W teacher width.
"""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from raysearch.errors import WorkError
from raysearch.files.digest import document_digest
from raysearch.targets.store import STATES_NAME, discard

if TYPE_CHECKING:
    from lhotse.cut import MonoCut

DOCUMENT = "features.json"
"""Name of the file that says which states a folder holds, and where those of each cut are."""


class Grid(NamedTuple):
    """Where frames lie in a recording."""

    hop_samples: int
    """Samples from one frame to the next."""
    first_sample: int
    """The sample on which the first frame is centred."""


@dataclass(frozen=True)
class FeatureKey:
    """Everything that decides the hidden states of a layer."""

    teacher: str
    """Hash of the teacher's weights."""
    layer: int
    """0 is the input of the first block, 1 its output."""
    corpus: str
    """Fingerprint of the corpus. Its training split is heard."""
    hop_samples: int
    """Samples from one kept frame to the next."""
    first_sample: int
    """The sample on which the first kept frame is centred."""

    @property
    def digest(self) -> str:
        """The name of the layer's folder in the store, 16 hexadecimal digits."""
        return document_digest({**asdict(self), "kept": "hidden states in fp16"})


class Span(NamedTuple):
    """The place of a cut's states in their file."""

    start: int
    """Number of the first frame."""
    end: int
    """Number of the frame after the last."""
    exponent: int
    """The states were divided by 2 to this power."""
    checksum: int
    """CRC-32 of their bytes."""


class KeptLayer:
    """The hidden states of one layer in a folder. They are read from disk when they are asked for."""

    def __init__(self, folder: Path) -> None:
        """Opens a folder. Raises: WorkError if a file is missing or not what it should be."""
        self.folder = folder
        self._whole: set[str] = set()
        try:
            document = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
            self.key = FeatureKey(**document["key"])
            self._spans = {cut: Span(*span) for cut, span in document["spans"].items()}
            shape = (max((span.end for span in self._spans.values()), default=0), document["width"])
            self._states_NW = np.memmap(folder / STATES_NAME, np.float16, "r", shape=shape)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as err:
            raise WorkError(f"features {folder} are unreadable ({err}); delete the folder, they are made anew") from err

    def __contains__(self, cut: MonoCut) -> bool:
        return cut.id in self._spans

    def states(self, cut: MonoCut) -> tuple[np.ndarray, float]:
        """The states of a cut in fp16 (U, W), and the factor that they were divided by.

        Raises: WorkError if they are damaged. The folder is removed then, so that they are made anew.
        """
        span = self._spans[cut.id]
        states_UW = self._states_NW[span.start : span.end]
        if cut.id not in self._whole:
            if zlib.crc32(states_UW.data) != span.checksum:
                with suppress(OSError):  # where nothing may be written, somebody else has to remove it
                    discard(self.folder)
                raise WorkError(f"features {self.folder}: cut {cut.id} is damaged; they are made anew when next asked")
            self._whole.add(cut.id)
        return states_UW, 2.0**span.exponent

    def document(self) -> dict[str, Any]:
        """Digest, key, cuts and bytes in one flat mapping, for JSON."""
        counts = {"cuts": len(self._spans), "bytes": self._states_NW.nbytes}
        return {"digest": self.key.digest, **asdict(self.key), **counts}
