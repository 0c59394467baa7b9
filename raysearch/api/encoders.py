"""Encoders as torch modules, what they cost, and how they are written for others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.api.arguments import choices
from raysearch.errors import InputError

if TYPE_CHECKING:
    from raysearch.encoder.config import AnyConfig
    from raysearch.encoder.encoder import Encoder
    from raysearch.spec.document import Spec
    from raysearch.spec.overrides import Overrides

LAYOUTS = ("raysearch", "huggingface")


def load_encoder(source: str | Path) -> Encoder:
    """An encoder as a torch module on the CPU, in eval mode.

    `source` is `torchaudio:NAME`, `hf:FOLDER`, `fairseq:FILE`, or a folder of ours, such as an export's `checkpoint`.
    It takes 16 kHz audio (B, S) and the valid samples of each row (B), and gives the hidden states of all its layers.
    Raises: InputError if there is no encoder, or not one that we know.
    """
    from raysearch.encoder.imports.source import read_encoder

    return read_encoder(str(source)).eval()


def encoder_cost(
    encoder: str | Path | AnyConfig | Encoder | Spec,
    seconds: float | None = None,
    *,
    overrides: Overrides = (),
    ecapa: int | None = None,
) -> dict[str, Any]:
    """Parameters and MACs of an encoder; nothing is trained.

    `encoder` is an encoder document or a search document, by its file, by its name if it comes with raysearch, or as it
    was read; or an encoder itself, its folder, or its place as of a teacher, such as `hf:FOLDER`. `overrides` change
    keys of a document that is read from a file. Of a search, the first point of `search.start` counts, or else the
    dearest student: `student` says which it is, and `space` has the cheapest and the dearest.
    `macs_g` is in GMAC, over one recording of so many `seconds`, or else over SUPERB's 32 utterances; `parts_g` says
    where they are spent. `ecapa` puts an ECAPA-TDNN of so many channels behind the encoder; `params_total` and
    `macs_total_g` count it too, or else the back end of the search's method, or SUPERB's head for its first task.
    Raises: InputError if the file is no such document.
    """
    from raysearch.encoder.config import SAMPLE_RATE_HZ, AnyConfig
    from raysearch.encoder.cost import SUPERB_SAMPLES
    from raysearch.planning.cost_sheet import CostSheet, cost_sheet, ecapa_of, student_sheet
    from raysearch.spec.document import Spec

    if isinstance(encoder, str | Path):
        sheet = cost_sheet(Path(encoder), overrides, ecapa)
    elif isinstance(encoder, Spec):
        sheet = student_sheet(encoder, ecapa)
    else:
        sheet = CostSheet(encoder if isinstance(encoder, AnyConfig) else encoder.config, ecapa_of(ecapa))
    samples = SUPERB_SAMPLES if seconds is None else [round(seconds * SAMPLE_RATE_HZ)]
    return {**sheet.document(samples), "seconds": seconds or sum(samples) / SAMPLE_RATE_HZ}


def convert_encoder(source: str, out: str | Path, layout: str = "raysearch") -> None:
    """Reads an encoder as `load_encoder` does and writes it to a new folder.

    `layout` is `raysearch`, or `huggingface` for transformers.
    Raises: InputError if there is no such encoder, or the folder is not empty.
    """
    from raysearch.encoder.checkpoint import save_encoder
    from raysearch.encoder.imports.huggingface import export_huggingface

    choices("--layout", layout, LAYOUTS)
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: is not empty; expected a new folder")
    write = export_huggingface if layout == "huggingface" else save_encoder
    write(load_encoder(source), out)
