"""Where a training step's time goes: named spans, which cost nothing while nobody measures.

with measured() as spans:      # in one process, one thread
    ...                        # code that marks its parts: with span("backward"): ...
spans.seconds                  # name -> seconds, without those of spans inside it
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from raysearch.encoder.encoder import Encoder
from raysearch.encoder.front_end import LogMelFrontEnd


class Spans:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[list[Any]] = []

    def enter(self, name: str) -> None:
        self._open.append([name, _now_s(), 0.0])

    def leave(self) -> None:
        name, began_s, inside_s = self._open.pop()
        spent_s = _now_s() - began_s
        self.seconds[name] = self.seconds.get(name, 0.0) + spent_s - inside_s
        if self._open:
            self._open[-1][2] += spent_s


_current: Spans | None = None


@contextmanager
def measured() -> Iterator[Spans]:
    global _current
    assert _current is None, "spans are being measured already"
    _current = Spans()
    try:
        yield _current
    finally:
        _current = None


@contextmanager
def span(name: str) -> Iterator[None]:
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
    """While time is measured: spans of the encoder's forward pass, by part or under one name. Otherwise nothing."""
    if _current is None:
        return
    if whole:
        _watch(encoder, whole)
        return
    _watch(encoder.front_end, "front end")
    if isinstance(encoder.front_end, LogMelFrontEnd):
        _watch(encoder.front_end.log_mel, "features")
    for module in (encoder.feature_norm, encoder.projection, encoder.position_conv, encoder.norm, *encoder.blocks):
        _watch(module, "encoder")


def _watch(module: nn.Module, name: str) -> None:
    spans = _current
    assert spans is not None
    module.register_forward_pre_hook(lambda *_: spans.enter(name))
    module.register_forward_hook(lambda *_: spans.leave())


def _now_s() -> float:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()
