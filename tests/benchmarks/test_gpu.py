"""The checks for a GPU run on a CPU too, in tiny sizes, without Ray, MLflow and Optuna. None of them ends the run.

To export and to compile takes longer than all other checks together, and is left to `make test-slow`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from raysearch.methods.table import METHODS, load_method

ROOT = Path(__file__).parents[2]
KEPT_AWAY = ("ray", "mlflow", "optuna")
QUICK = (
    *("device", "encoders", "methods", "batch search", "flash attention"),
    *("steps", "kept states", "processes", "k-means"),
)
LONG = ("onnx", "compile")
TRAINED = ("fasthubert", "unfused")
"""Methods whose first updates in fp16 are taken, and are left out."""


def tiny_run(folder: Path, *names: str) -> dict[str, Any]:
    """The document of a tiny run of these checks, in which some libraries cannot be imported."""
    for name in KEPT_AWAY:
        (folder / f"{name}.py").write_text('raise ImportError("kept away by a test")\n')
    out = folder / "gpu.json"
    command = [sys.executable, ROOT / "benchmarks/gpu.py", *names, "--device", "cpu", "--out", out]
    path = os.pathsep.join([str(folder), str(ROOT)])
    ran = subprocess.run(
        [*command, "--methods", *TRAINED],
        # With tiles (AMX) oneDNN drifts ten times as far in bf16, which is nothing that a check of GPUs looks for.
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    return found


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of a tiny run of the quick checks."""
    return tiny_run(tmp_path_factory.mktemp("gpu"), *QUICK)


def states(document: dict[str, Any]) -> dict[str, str]:
    return {name: one["state"] for name, one in document["checks"].items()}


def test_every_quick_check_finds_figures_and_no_fault(document: dict[str, Any]) -> None:
    assert states(document) == dict.fromkeys(QUICK, "ok")


@pytest.mark.slow
def test_every_long_check_finds_figures_and_no_fault(tmp_path: Path) -> None:
    assert states(tiny_run(tmp_path, *LONG)) == dict.fromkeys(LONG, "ok")


def test_all_checks_are_tested(gpu: ModuleType) -> None:
    assert [check.name for check in gpu.CHECKS] == [*QUICK, *LONG]


def test_made_up_gpu_is_full_and_has_a_peak(document: dict[str, Any]) -> None:
    checks = document["checks"]
    assert any("made up" in line for line in checks["device"]["left_out"])
    # It holds 5 s of audio: batches of 16 s are halved twice.
    assert checks["batch search"]["figures"]["batch"]["fits_s"] == 4.0
    assert checks["steps"]["figures"]["hubert"].keys() == {"step_s", "audio_s_per_s", "mfu", "peak_gb"}


def test_methods_are_trained_in_both_precisions(document: dict[str, Any]) -> None:
    rows = document["checks"]["methods"]["figures"]
    assert set(rows) == {f"{name} {precision}" for name in TRAINED for precision in ("bf16", "fp16")}
    assert all(row["overflowed"] < row["updates"] for row in rows.values())


def test_method_whose_updates_all_overflow_is_trained_longer(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def losses(
        sound: int, name: str, precision: str, speech: Any, device: Any, folder: Path, updates: int
    ) -> list[Any]:
        """Updates of which those before number `sound` overflow."""
        for number in range(updates):
            weight = torch.nn.Parameter(torch.ones(1))
            weight.grad = torch.full((1,), float("inf") if number < sound else 1.0)
            torch.optim.SGD([weight]).step()
        return [1.0] * updates

    def trained(precision: str, sound: int) -> tuple[dict[str, Any], list[str]]:
        monkeypatch.setattr(gpu.methods, "_losses", partial(losses, sound))
        found = gpu.methods.Found()
        gpu.methods._train("m", precision, None, None, tmp_path, found)
        return found.figures[f"m {precision}"], found.faults

    plain = {"loss": 1.0, "then": 1.0}
    assert trained("fp16", 1) == ({**plain, "updates": 2, "overflowed": 1}, [])
    assert trained("fp16", 11) == ({**plain, "updates": 12, "overflowed": 11}, [])
    says = "updates with gradients that are no numbers"
    assert trained("fp16", 99) == ({**plain, "updates": 12, "overflowed": 12}, [f"m fp16: 12 of 12 {says}"])
    assert trained("bf16", 1) == ({**plain, "updates": 2, "overflowed": 1}, [f"m bf16: 1 of 2 {says}"])


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("gpu")


def test_every_method_has_settings(gpu: ModuleType) -> None:
    assert set(gpu.methods.DOCUMENTS) == set(METHODS)
    for name, settings in gpu.methods.DOCUMENTS.items():
        load_method(name).Settings.model_validate(settings)


def test_all_checks_fit_into_the_budget(gpu: ModuleType) -> None:
    assert sum(check.needs_s for check in gpu.CHECKS) < gpu.BUDGET_S < 9 * 60


def test_update_that_changes_no_weight_is_counted(gpu: ModuleType) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    updates = gpu.methods.Updates()
    with updates.watching():
        for rate, gradient in ((0.1, 1.0), (0.0, 1.0), (0.0, float("inf"))):
            weight.grad = torch.full((3,), gradient)
            torch.optim.SGD([weight], rate).step()
    weight.grad = torch.ones(3)
    torch.optim.SGD([weight], 0.0).step()
    assert updates == gpu.methods.Updates(taken=3, overflowed=1, idle=1)


def test_attention_by_plain_products_is_not_taken_for_flash(gpu: ModuleType) -> None:
    checks, setting = gpu.attention, gpu.Setting(torch.device("cpu"), tiny=True)
    encoder = checks.Encoder(checks.kinds(tiny=True)["log-mel"])
    audio_BS, samples_B = torch.randn(1, 4_000), torch.tensor([4_000])
    assert checks._kernels(setting, encoder, audio_BS, samples_B) == {"flash": 2}
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        assert checks._kernels(setting, encoder, audio_BS, samples_B) == {"math": 2}


def outcome(gpu: ModuleType, function: Callable[..., None], needs_s: float = 60.0) -> dict[str, Any]:
    setting = gpu.Setting(torch.device("cpu"), tiny=True)
    found: dict[str, Any] = gpu.run(gpu.Check("made up", needs_s, function), setting, 60.0)
    return found


def test_check_that_raises_keeps_what_it_found_before(gpu: ModuleType) -> None:
    def function(setting: Any, found: Any) -> None:
        found.row("row", number=1)
        raise ValueError("two\nlines")

    found = outcome(gpu, function)
    assert (found["state"], found["figures"]) == ("failed", {"row": {"number": 1}})
    assert found["faults"] == ["ValueError: two lines"]


def test_check_that_hangs_is_ended_and_keeps_what_it_found_before(gpu: ModuleType) -> None:
    def function(setting: Any, found: Any) -> None:
        found.row("row", number=float("nan"))
        signal.pause()

    found = outcome(gpu, function, needs_s=0.2)
    assert (found["faults"], found["figures"]) == (["took more than 0.4 s"], {"row": {"number": "nan"}})


def test_check_whose_process_dies_is_a_failure(gpu: ModuleType) -> None:
    found = outcome(gpu, lambda setting, found: os._exit(3))
    assert found["faults"] == ["its process ended with 3 before it was done"]


def test_check_that_finds_nothing_is_skipped(gpu: ModuleType) -> None:
    found = outcome(gpu, lambda setting, found: found.leave_out("a library"))
    assert (found["state"], found["left_out"]) == ("skipped", ["a library"])


def test_failed_check_then_the_rest_is_done_and_the_exit_code_is_1(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = gpu.Check("wrong", 5, lambda setting, found: found.fail("it is wrong"))
    right = gpu.Check("right", 5, lambda setting, found: found.row("row", number=1))
    long = gpu.Check("long", 500, lambda setting, found: os._exit(3))
    monkeypatch.setattr(gpu, "CHECKS", (wrong, long, right))
    out = tmp_path / "gpu.json"
    assert gpu.main(["--device", "cpu", "--budget", "60", "--out", str(out)]) == 1
    checks = json.loads(out.read_text())["checks"]
    assert {name: one["state"] for name, one in checks.items()} == {"wrong": "failed", "long": "skipped", "right": "ok"}
    (left_out,) = checks["long"]["left_out"]
    assert re.fullmatch(r"it may need 500 s, and \d+ s are left", left_out)
    assert "it is wrong" in capsys.readouterr().out
    assert gpu.main(["right", "--device", "cpu"]) == 0


def test_unknown_check_then_a_line_that_names_the_known_ones(
    gpu: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        gpu.main(["nothing"])
    assert "nothing: no such check; expected some of device, encoders" in capsys.readouterr().err
