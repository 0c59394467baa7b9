"""`corpus check` of documents whose corpus can be read and yet not be used."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from raysearch.cli import app
from raysearch.errors import InputError
from tests.corpora.speech_trees import noise, write_chapter, write_flac

DOCUMENT = {
    "name": "tiny",
    "teacher": {"source": "train", "depth": 1, "width": 32, "heads": 2, "channels": 16},
    "task": {"kind": "asr"},
    "method": "dicehubert",
    "student": {"heads": 2, "depth": 1, "width": 32},
    "objectives": ["macs", "wer"],
}
SPLITS = {split: [split] for split in ("train", "dev", "test")}


def check(tmp_path: Path, corpus: dict[str, Any], *words: str, **changes: Any) -> tuple[int, list[str], str]:
    """Exit code as of a command, lines of stdout, and the error."""
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump({**DOCUMENT, "corpus": corpus, **changes}))
    found = CliRunner().invoke(app, ["corpus", "check", str(file), "--storage", str(tmp_path / "store"), *words])
    code = 2 if isinstance(found.exception, InputError) else found.exit_code
    return code, found.stdout.splitlines(), str(found.exception or "")


def tree(root: Path, text: str, seconds: float = 0.5) -> dict[str, Any]:
    for number, split in enumerate(SPLITS):
        write_chapter(root / split, f"{number + 1}0", {"0000": text, "0001": text}, seconds)
    return {"kind": "librispeech", "root": str(root), "splits": SPLITS, "min_s": 0.001}


def test_corpus_that_a_search_takes_is_passed_without_a_word(tmp_path: Path) -> None:
    code, lines, _ = check(tmp_path, tree(tmp_path / "tree", "GO"))
    assert (code, len(lines)) == (0, 3)


@pytest.mark.parametrize(
    ("text", "seconds", "fault"),
    [
        (
            "TURN ON THE LIGHT " * 12,
            0.4,
            "task asr: 6 of 6 transcripts have more characters than frames (25 Hz), first ",
        ),
        ("GO", 0.0125, "corpus.min_s: 0.001; expected at least 0.025, one frame of an encoder; the shortest cut, "),
    ],
)
def test_corpus_of_which_nothing_can_be_learned_is_reported_and_refused(
    tmp_path: Path, text: str, seconds: float, fault: str
) -> None:
    corpus = tree(tmp_path / "tree", text, seconds)
    code, lines, said = check(tmp_path, corpus)
    assert code == 2
    assert lines[0].startswith("train: 2 cuts")
    assert said.startswith(fault)
    _, printed, _ = check(tmp_path, corpus, "--json")
    assert json.loads("\n".join(printed))["refused"] == said


def test_what_another_limit_or_teacher_may_take_is_a_warning(tmp_path: Path) -> None:
    for seed, name in enumerate(f"{split}/{label}/0" for split in SPLITS for label in ("no", "yes")):
        write_flac(tmp_path / "in" / f"{name}.flac", noise(0.5, seed))
    write_flac(tmp_path / "in/train/no/1.flac", b"")
    task = {"task": {"kind": "classification"}, "objectives": ["macs", "error"]}
    code, lines, _ = check(tmp_path, {"kind": "labelled", "root": str(tmp_path / "in")}, **task)
    assert code == 0
    assert lines[3] == "left out: 1 cut: file is empty (0 bytes); first: train/no/1"
    assert lines[4].startswith("warning: a search refuses this corpus: corpus.max_skipped: split train: 1 of 3 cuts")
    assert lines[5].startswith("warning: a search refuses this document: teacher.method: ctc: corpus in has no trans")
    parts = [{"kind": "labelled", "root": str(tmp_path / "in")}]
    shutil.copytree(tmp_path / "in", tmp_path / "other")
    parts.append({"kind": "labelled", "root": str(tmp_path / "other")})
    code, lines, _ = check(tmp_path, {"kind": "several", "corpora": parts}, **task)
    assert code == 0
    assert lines[3] == "left out: 2 cuts: file is empty (0 bytes); first: in/train/no/1, other/train/no/1"
