"""Exports that are measured under a load which the user chose."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from raysearch.deploy.choosing import ExportCost
from raysearch.deploy.manifest import CHECKPOINT_NAME
from raysearch.deploy.measured_exports import MeasuredExports
from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from raysearch.exported.device import DeviceSettings
from raysearch.exported.latency import Load
from raysearch.exported.settings import Precision
from raysearch.front.trials import Cost, TrialRecord
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


def test_what_the_search_has_measured_is_not_measured_again(
    search: SearchFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exports(load: Load, precision: Precision = "fp32") -> MeasuredExports:
        found = MeasuredExports(search, [precision], load, print)
        device = DeviceSettings(seconds=2.0)
        found._spec = found._spec.model_copy(update={"objectives": ["latency", "per"], "device": device})
        return found

    def made(self: MeasuredExports, number: int) -> Path:
        raise Exported

    monkeypatch.setattr(MeasuredExports, "_made", made)
    cost = Cost(macs_g=1.0, params_m=1.0, size_mb=3.0, latency_ms=4.0)
    member = TrialRecord(number=0, state="complete", config={"method": "dicehubert"}, cost=cost)
    assert exports(Load(seconds=2.0)).cost(member) == ExportCost(size_mb=3.0, latency_ms=4.0)
    pruned = member.model_copy(update={"metrics": {"cost/macs_g": 1.1}})
    unknown = member.model_copy(update={"cost": Cost(macs_g=1.0, params_m=1.0)})
    for load, precision, one in (
        (Load(seconds=3.0), "fp32", member),
        (Load(seconds=2.0), "int8", member),
        (Load(seconds=2.0), "fp32", pruned),
        (Load(seconds=2.0), "fp32", unknown),
    ):
        with pytest.raises(Exported):
            exports(load, precision).cost(one)


class Exported(Exception):
    """An export was asked for."""


def test_export_has_the_head_of_the_error_that_was_asked_for(search: SearchFolder) -> None:
    both = search.spec().model_copy(
        update={"task": [PhonemesSettings(), SpeakerSettings()], "objectives": ["macs", "eer", "per"]}
    )
    folder = SimpleNamespace(spec=lambda: both)
    tasks = [MeasuredExports(folder, ["fp32"], Load(), print, asked)._task for asked in (None, "per", "eer", "macs")]
    assert tasks == ["speaker", "phonemes", "speaker", "speaker"], "the first error of the search stands for the others"
