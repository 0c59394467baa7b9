"""What every layout can do: say whether it expresses a model, write its files, and run them in their runtime."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from raysearch.deploy.runtime.transcribe import Layout
from raysearch.errors import InputError
from raysearch.exported.measure import Hear
from raysearch.exported.quantised import Calibration
from raysearch.exported.settings import Precision
from raysearch.exported.speech_model import Recogniser

Format = Literal["onnx", "pt2", "safetensors"]
WORD_START = "▁"
"""Where SentencePiece puts a blank, and so do all who read its tokens. Before a phone it keeps texts readable."""
BLANK_NAME = "<blk>"
RESERVED = (BLANK_NAME, "<blank>", "<eps>", "</s>")
"""Symbols that a runtime would not take for what was said."""


@dataclass(frozen=True)
class Order:
    """What is to be written, and where."""

    recogniser: Recogniser
    folder: Path
    formats: Sequence[Format]
    precisions: Sequence[Precision]
    say: Callable[[str], None]
    calibration: Calibration | None = None
    """What `int8-static` is written with, which our own layout alone has."""


@dataclass(frozen=True)
class FileLayout:
    """One layout of an export's files."""

    runtime: str
    """Who runs the files, as its package is called."""
    check: Callable[[Recogniser], None]
    """Raises: InputError if files of this layout cannot express the model."""
    write: Callable[[Order], None]
    """Writes the files."""
    hear: Callable[[Path, Recogniser], Hear]
    """The runtime with one of the files loaded. Raises: InputError if it is not installed, or too old."""
    usage: Callable[[Recogniser, str], str]
    """Python that loads the file of this name and runs it, for the README."""
    formats: tuple[Format, ...] = ("onnx",)
    """The formats that it has."""
    precisions: tuple[Precision, ...] = ("fp32", "fp16", "int8")
    """The precisions that it has."""

    def check_order(
        self, recogniser: Recogniser, formats: Sequence[Format], precisions: Sequence[Precision], name: str
    ) -> None:
        """Raises: InputError unless the layout has the formats and precisions, and can express the model."""
        for precision in precisions:
            if precision not in self.precisions:
                known = ", ".join(self.precisions)
                raise InputError(f"--precision: {precision}; expected one of {known} with --layout {name}")
        for one in formats:
            if one not in self.formats:
                raise InputError(f"--format: {one}; expected {' or '.join(self.formats)} with --layout {name}")
        self.check(recogniser)


def runtime_module(module: str, package: str, install: str) -> Any:
    """The runtime's module. Raises: InputError, naming what `pip install` takes, if it is not there."""
    try:
        return importlib.import_module(module)
    except ImportError as err:
        raise InputError(f"{package}: not installed; expected it to run the export: pip install {install}") from err


def token_lines(meaning: Layout) -> str:
    """A file of tokens: in each line what a token says, a blank and its number. Token 0 is the blank of CTC.

    Raises: InputError if a symbol of the model would not be read back as it was written.
    """
    for symbol in meaning.symbols:
        spoken = symbol != " " or meaning.unit != "phones"
        if symbol in RESERVED or WORD_START in symbol or not spoken or (symbol != " " and symbol.split() != [symbol]):
            raise InputError(f"head.json: symbols: {symbol!r}; expected none that a file of tokens cannot hold")
    names = [BLANK_NAME, *(_written(symbol, meaning) for symbol in meaning.symbols)]
    return "".join(f"{name} {token}\n" for token, name in enumerate(names))


def _written(symbol: str, meaning: Layout) -> str:
    if symbol == " ":
        return WORD_START
    return WORD_START + symbol if meaning.unit == "phones" else symbol


def read_back(token: str) -> str:
    """The symbol that a runtime means by a token, in which it has put a blank in place of the mark."""
    return token.removeprefix(" ") or " "
