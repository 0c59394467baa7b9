"""Every verb calls one function of the face for Python, with what was said on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import raysearch
from raysearch.cli import app

ROOT = Path(__file__).parents[2]
SPEC = str(ROOT / "search_spaces/quickstart.yaml")
HERE = {"storage": "here"}

# Verb: words after it, the function, some of what it is called with.
FUNCTIONS: dict[str, tuple[list[str], str, dict[str, Any]]] = {
    "search": ([SPEC, "--name", "n", "--trials", "3", "--storage", "here"], "search", HERE | {"address": None}),
    "resume": (["n", "--trials", "3", "--storage", "here"], "resume", HERE | {"trials": 3}),
    "rm": (["n", "--yes", "--storage", "here"], "remove_search", HERE),
    "compare": (["a", "b", "--seeds", "--storage", "here"], "compare", HERE | {"seeds": True, "at": None}),
    "verify": (["out", "--storage", "here"], "verify", HERE),
    "transcribe": (["m.onnx", "a.wav", "--threads", "2"], "transcribe", {"threads": 2}),
    "verify-speaker": (["m.onnx", "a.wav", "b.wav", "--threads", "2"], "verify_speaker", {"threads": 2}),
    "table": (["a", "b", "-o", "t.jsonl.gz", "--storage", "here"], "write_table", HERE),
    "simulate": (["t.jsonl.gz", "--budget", "60"], "simulate", {"budget_s": 60.0, "trials": None, "workers": 4}),
    "plan": ([SPEC, "--gpus", "8", "--hours", "960"], "plan", {"gpus": 8, "gpu": "h100", "hours": 960.0}),
    "claim": (
        ["a < b", "x", "y", "--difference", "0.5", "--storage", "here"],
        "judge_claim",
        HERE | {"difference": 0.5},
    ),
    "profile": ([SPEC, "--updates", "5", "--storage", "here"], "profile", HERE | {"updates": 5, "threads": 1}),
    "cost": ([SPEC, "--set", "student.width=64"], "encoder_cost", {"overrides": ["student.width=64"], "ecapa": None}),
    "convert": (["hf:there", "-o", "out"], "convert_encoder", {}),
    "schema": ([], "spec_schema", {}),
    "spaces": ([], "list_spaces", {}),
    "doctor": ([SPEC, "--address", "auto", "--storage", "here"], "doctor", HERE | {"address": "auto"}),
    "corpus check": ([SPEC, "--storage", "here"], "check_corpus", HERE),
    "corpus prepare": (["librispeech", "root", "-o", "out"], "prepare_corpus", {}),
    "corpus synth": (["-o", "out", "--seed", "3"], "synthesise_corpus", {"utterances": 600, "seed": 3}),
    "targets build": ([SPEC, "--storage", "here"], "build_label_sets", HERE),
    "targets ls": (["--storage", "here"], "label_sets", HERE),
    "targets gc": (["--dry-run", "--storage", "here"], "remove_garbage", HERE | {"dry_run": True, "unused_days": 30.0}),
}
# Verb: words after it, the method of the search that was opened, some of what it is called with.
OF_A_SEARCH: dict[str, tuple[list[str], str, dict[str, Any]]] = {
    "status": (["n"], "status", {}),
    "front": (["n", "--png", "front.png"], "draw", {"png": Path("front.png"), "html": None}),
    "record": (["n", "-o", "n.json.gz"], "record", {}),
    "pick": (
        ["n", "--max-macs", "9", "--max", "per=20", "--precision", "int8"],
        "pick",
        {"max_macs": [9.0], "max_error": {"per": 20.0}, "precision": ["int8"], "knee": False},
    ),
    "export": (["n", "3", "-o", "out", "--format", "pt2"], "export", {"formats": ["pt2"], "precision": ()}),
    "reproduce": (["n", "3"], "reproduce", {}),
    "sync": (["n"], "sync", {}),
}
OF_THE_COMMAND_LINE = {"submit", "tracking up"}
"""One starts Ray's own command, the other becomes MLflow's server: there is nothing to call."""


class Called(Exception):
    """Ends a verb where it has called what it should."""


def stand_in(*given: Any, **named: Any) -> None:
    raise Called(given, named)


@pytest.mark.parametrize("verb", FUNCTIONS)
def test_verb_calls_its_function(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words, function, expected = FUNCTIONS[verb]
    monkeypatch.setattr(raysearch, function, stand_in)
    # `rm` looks whether there is such a search before it asks.
    monkeypatch.setattr(raysearch, "open_search", lambda *given, **named: None)
    assert called_with(verb, words).items() >= expected.items()


@pytest.mark.parametrize("verb", OF_A_SEARCH)
def test_verb_opens_its_search_and_asks_it(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words, method, expected = OF_A_SEARCH[verb]
    opened: list[tuple[str, Any]] = []

    def open_search(name: str, *, storage: Any) -> raysearch.Search:
        opened.append((name, storage))
        return raysearch.Search(name, None)

    monkeypatch.setattr(raysearch, "open_search", open_search)
    monkeypatch.setattr(raysearch.Search, method, stand_in)
    assert called_with(verb, [*words, "--storage", "here"]).items() >= expected.items()
    assert opened == [("n", "here")]


def test_every_verb_is_looked_at() -> None:
    commands = get_command(app).commands
    verbs = {
        f"{name} {member}".strip() for name, verb in commands.items() for member in getattr(verb, "commands", [""])
    }
    assert verbs == {*FUNCTIONS, *OF_A_SEARCH, *OF_THE_COMMAND_LINE}


def called_with(verb: str, words: list[str]) -> dict[str, Any]:
    """What a verb calls its function with, by name."""
    ended = CliRunner().invoke(app, [*verb.split(), *words])
    assert isinstance(ended.exception, Called), ended.output or ended.exception
    return ended.exception.args[1]
