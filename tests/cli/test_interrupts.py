"""Ctrl-C and SIGTERM, sent to a command line whose verb is replaced by one that waits in its own way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial

import pytest

AGAIN = "to go on: raysearch plan x.yaml --set 'a=b c'\n"
WAITS = "wait()"
SWALLOWS = """
    try:
        wait()
    except BaseException:
        while True: time.sleep(0.01)
"""
TURNS = """
    try:
        wait()
    except BaseException:
        raise ValueError("a library was disturbed")
"""
RETURNS = """
    try:
        wait()
    except BaseException:
        return 0
"""
NOTES = """
    try:
        wait()
    except KeyboardInterrupt as err:
        err.add_note("nothing is lost, continue with: raysearch resume one")
        time.sleep(0.05)
        raise
"""


def interrupted(verb: str, *signals: int, limit_s: float = 0.3) -> tuple[int, str]:
    """Exit code and stderr of the command line, of which the verb is Python code, after these signals."""
    code = f"""
import sys, time
import raysearch.cli as cli, raysearch.cli.interrupts as interrupts
interrupts.LIMIT_S = {limit_s}
def wait():
    print("ready", flush=True)
    while True: time.sleep(0.01)
def verb(standalone_mode):
    {verb}
cli.app = verb
cli.main()
"""
    words = ["plan", "x.yaml", "--set", "a=b c"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Under a shell's `&` Ctrl-C is ignored, by every process that comes after.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for number in signals:
        os.kill(process.pid, number)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("verb", [WAITS, SWALLOWS, TURNS, RETURNS])
def test_one_line_says_how_to_go_on_whatever_became_of_the_signal(verb: str) -> None:
    assert interrupted(verb, signal.SIGINT) == (130, f"interrupted; {AGAIN}")


def test_sigterm_is_told_alike() -> None:
    assert interrupted(WAITS, signal.SIGTERM) == (143, f"interrupted; {AGAIN}")


def test_second_signal_changes_nothing() -> None:
    assert interrupted(SWALLOWS, signal.SIGINT, signal.SIGTERM, signal.SIGINT) in [
        (130, f"interrupted; {AGAIN}"),
        (143, f"interrupted; {AGAIN}"),  # of two signals at once the system chooses
    ]


def test_whoever_knows_better_how_to_go_on_says_so() -> None:
    line = "interrupted; nothing is lost, continue with: raysearch resume one\n"
    # A busy machine may let the verb wait for a while before it can say a word.
    assert interrupted(NOTES, signal.SIGINT, limit_s=30.0) == (130, line)
