"""Named spans, which show where the time of a training step goes. They cost nothing while nobody measures.

with measured() as spans:      # in one process and one thread
    ...                        # code that marks its parts: with span("backward"): ...
spans.seconds                  # seconds of each span by name, without those of spans inside it
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from raysearch.encoder.encoder import Encoder


class Spans:
    """Seconds of each named span, without those of spans inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[list[Any]] = []

    def enter(self, name: str) -> None:
        """Opens a span inside the one that is open now."""
        self._open.append([name, _now_s(), 0.0])

    def leave(self) -> None:
        """Closes the span that was opened last."""
        name, began_s, inside_s = self._open.pop()
        spent_s = _now_s() - began_s
        self.seconds[name] = self.seconds.get(name, 0.0) + spent_s - inside_s
        if self._open:
            self._open[-1][2] += spent_s


_current: Spans | None = None


@contextmanager
def measured() -> Iterator[Spans]:
    """A context in which spans are measured."""
    global _current
    assert _current is None, "spans are being measured already"
    _current = Spans()
    try:
        yield _current
    finally:
        _current = None


@contextmanager
def span(name: str) -> Iterator[None]:
    """A context whose time is measured under this name, if anybody measures."""
    spans = _current
    if spans is None:
        yield
        return
    spans.enter(name)
    try:
        yield
    finally:
        spans.leave()


def watch(encoder: Encoder, whole: str = "") -> None:
    """Marks the encoder's forward pass with spans: one for each part, or one named `whole`.

    Nothing is done while nobody measures.
    """
    if _current is None:
        return
    if whole:
        _watch(encoder, whole)
        return
    _watch(encoder.front_end, "front end")
    for name, child in encoder.named_children():
        if name == "front_end":
            continue
        for module in child if isinstance(child, nn.ModuleList) else [child]:
            _watch(module, "encoder")
    log_mel = getattr(encoder.front_end, "log_mel", None)
    if log_mel is not None:
        _watch(log_mel, "features")


def _watch(module: nn.Module, name: str) -> None:
    spans = _current
    assert spans is not None
    module.register_forward_pre_hook(lambda *_: spans.enter(name))
    module.register_forward_hook(lambda *_: spans.leave())


def _now_s() -> float:
    # A GPU works on after a call has returned, so it is waited for.
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()
