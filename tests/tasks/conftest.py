"""A corpus whose frames spell their symbols out, and an encoder that shows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet
from lhotse.cut import MonoCut

from raysearch.corpora.corpus import Corpus
from tests.tasks.spelled import HOP, PHONES, FrameReader, make_cut, spell


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)

    def cuts(split: str, count: int) -> CutSet:
        made = []
        for i in range(count):
            phones = [str(phone) for phone in rng.choice(PHONES, size=rng.integers(2, 6))]
            made.append(make_cut(tmp_path, f"{split}-{i:02}", phones, " ".join(phones), spell(phones, rng)))
        return CutSet.from_cuts(made)

    return Corpus("toy", {"train": cuts("train", 24), "dev": cuts("dev", 6), "test": cuts("test", 5)})


@pytest.fixture
def encoder() -> FrameReader:
    return FrameReader()


@pytest.fixture
def cut_of(tmp_path: Path) -> Callable[..., MonoCut]:
    def make(name: str, phones: list[str] | None = None, text: str | None = None, frames: int = 25) -> MonoCut:
        return make_cut(tmp_path, name, phones, text, np.zeros(frames * HOP, dtype=np.float32))

    return make
