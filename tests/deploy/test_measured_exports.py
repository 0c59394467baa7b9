"""Exports that are measured under a load which the user chose."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from raysearch.deploy.manifest import CHECKPOINT_NAME
from raysearch.deploy.measured_exports import MeasuredExports
from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from raysearch.exported.latency import Load
from raysearch.storage.folder import SearchFolder
from raysearch.tasks.settings import PhonemesSettings, SpeakerSettings
from tests.encoder.small_encoders import small


def test_latency_of_longer_recordings_than_a_whisper_takes_is_refused(
    search: SearchFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_encoder(Encoder(small("whisper", "pre")), tmp_path / CHECKPOINT_NAME)
    monkeypatch.setattr(MeasuredExports, "_made", lambda self, number: tmp_path)
    assert MeasuredExports(search, ["fp32"], Load(seconds=30), print).export(3) == tmp_path
    with pytest.raises(InputError, match=r"^--seconds: 31; expected at most 30, for which trial 3 has positions$"):
        MeasuredExports(search, ["fp32"], Load(seconds=31), print).export(3)


def test_export_has_the_head_of_the_error_that_was_asked_for(search: SearchFolder) -> None:
    both = search.spec().model_copy(
        update={"task": [PhonemesSettings(), SpeakerSettings()], "objectives": ["macs", "eer", "per"]}
    )
    folder = SimpleNamespace(spec=lambda: both)
    tasks = [MeasuredExports(folder, ["fp32"], Load(), print, asked)._task for asked in (None, "per", "eer", "macs")]
    assert tasks == ["speaker", "phonemes", "speaker", "speaker"], "the first error of the search stands for the others"
