"""Every size in a document has a bound, and what is beyond it is told in one line before memory or time is spent."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raysearch.encoder.config import Blocks, ConvConfig, EncoderConfig, LogMel
from raysearch.errors import InputError
from raysearch.methods.settings import StudentSettings
from raysearch.methods.table import METHODS, load_method
from raysearch.settings import Settings
from raysearch.spec.document import Spec
from raysearch.spec.loading import load_spec
from raysearch.spec.space import Distribution
from tests.spec.test_document import refusal, write

MODELS: list[type[Settings]] = [Spec, EncoderConfig, ConvConfig, *(load_method(name).Settings for name in METHODS)]


@pytest.mark.parametrize("model", MODELS)
def test_every_whole_number_has_a_bound(model: type[Settings]) -> None:
    assert sorted(set(unbounded(model.model_json_schema()))) == []


def unbounded(schema: Any, where: str = "") -> Iterator[str]:
    """Places of whole numbers without an upper bound. A value of any kind is checked by its setting, which has one."""
    if isinstance(schema, list):
        for one in schema:
            yield from unbounded(one, where)
    elif isinstance(schema, dict):
        if schema.get("type") == "integer" and not schema.keys() & {"maximum", "exclusiveMaximum"}:
            yield where
        if not any(one.get("type") == "string" for one in schema.get("anyOf", [])):
            for key, below in schema.items():
                yield from unbounded(below, f"{where}.{key}")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"space": {"student.width": {"int": [64, 10**10]}}},
            "space.student.width: 10000000000; expected less than or",
        ),
        (
            {"space": {"student.width": {"int": [0, 2**60]}}},
            "space.student.width.int[1]: 1152921504606846976; expected",
        ),
        ({"space": {"student.depth": {"int": [-(2**62), 4]}}}, "space.student.depth.int[0]: -4611686018427387904; exp"),
        ({"space": {"training.lr": {"float": [-1.7e308, 1.7e308]}}}, "space.training.lr.float[0]: -1.7e+308; expected"),
        (
            {"space": {"training.lr": {"float": [0.1, float("inf")]}}},
            "space.training.lr.float[1]: inf; expected a finite",
        ),
        (
            {"space": {"student.depth": {"choice": list(range(2000))}}},
            "space.student.depth.choice: list; expected at most",
        ),
        (
            {"space": {"training.lr": {"choice": ["nan"]}}},
            "space.training.lr.choice[0]: 'nan'; expected a finite number",
        ),
        (
            {"space": {}, "student": {"depth": 10_000_000}},
            "student.depth: 10000000; expected less than or equal to 1000",
        ),
        ({"space": {}, "student": {"depth": 1e9}}, "student.depth: 1000000000.0; expected less than or equal to 1000"),
        ({"student": {"ffn_ratio": float("inf")}}, "student.ffn_ratio: inf; expected a finite number"),
        ({"student": {"ffn_ratio": float("nan")}}, "student.ffn_ratio: nan; expected a finite number"),
        ({"student": {"ffn_ratio": 1e300}}, "student.ffn_ratio: 1e+300; expected less than or equal to 64"),
        ({"student": {"range_db": "inf"}}, "student.range_db: 'inf'; expected a finite number"),
        ({"training": {"lr": float("inf")}}, "training.lr: inf; expected a finite number"),
        ({"training": {"batch_s": 1e12}}, "training.batch_s: 1000000000000.0; expected less than or equal to 86400"),
        ({"targets": {"clusters": 10**12}}, "targets.clusters: 1000000000000; expected less than or equal to 1000000"),
        ({"search": {"updates": 10**18}}, "search.updates: 1000000000000000000; expected less than or equal to"),
        ({"search": {"trials": 10**12}}, "search.trials: 1000000000000; expected less than or equal to 1000000"),
        ({"search": {"seed": 2**40}}, "search.seed: 1099511627776; expected less than 4294967296"),
        ({"search": {"rungs": [0.5, float("nan")]}}, "search.rungs[1]: nan; expected a finite number"),
        ({"constraints": {"macs_g": float("inf")}}, "constraints.macs_g: inf; expected a finite number"),
        ({"workers": {"lanes": 10**9}}, "workers.lanes: 1000000000; expected less than or equal to 10000"),
        ({"name": "x" * 300}, f"name: '{'x' * 76}...; expected at most 100 characters"),
        ({"corpus": {"kind": "an4", "root": "x" * 300}}, f"corpus.root: '{'x' * 76}...; expected a path that a file"),
        ({"corpus": {"kind": "an4", "root": "~nobody-here/x"}}, "corpus.root: '~nobody-here/x'; expected a user who"),
        (
            {"corpus": {"kind": "synthetic", "utterances": {"train": 10**12, "dev": 9, "test": 9}}},
            "corpus.utterances.train: 1000000000000; expected less than or equal to 1000000",
        ),
        ({"teacher": {"depth": 10**9}}, "teacher.depth: 1000000000; expected less than or equal to 1000"),
        (
            {"teacher": {"depth": 1000, "width": 65536, "heads": 1024}},
            "teacher: 51,544,504 million parameters; expected at most 20,000 million",
        ),
        ({"x" * 300: 1}, f"{'x' * 77}...: unknown key; expected one of name, "),
        (
            {"space": {"x" * 300: {"int": [1, 2]}}},
            f"space.{'x' * 77}...: unknown key; expected a setting of dicehubert",
        ),
        ({"student": {"x" * 300: 1}}, f"student.{'x' * 69}...: unknown key; expected one of front_end, "),
        ({"objectives": ["macs"] * 1000}, f"objectives: {str(['macs'] * 9)[:65]}...; expected two or three"),
        ({"method": "x" * 300}, f"method: '{'x' * 76}...; expected one of hubert, "),
    ],
)
def test_what_is_beyond_a_bound_is_told_in_one_line(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    message = refusal(write(tmp_path, **changes))
    assert message.startswith(told)
    assert len(message) < 400


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("os:path", "method: 'os:path': no method; expected a class with Settings, student and run"),
        ("raysearch.settings:Settings", "method: 'raysearch.settings:Settings': no method; expected a class with"),
        (".os:path", "method: '.os:path'; expected MODULE:CLASS"),
        (":x", "method: ':x'; expected MODULE:CLASS"),
        ("os:", "method: 'os:'; expected MODULE:CLASS"),
        ("os:path.join", "method: 'os:path.join'; expected MODULE:CLASS"),
        ("os:system('true')", "method: \"os:system('true')\"; expected MODULE:CLASS"),
        (
            "nowhere.at.all:X",
            "method: 'nowhere.at.all:X' (No module named 'nowhere'); expected MODULE:CLASS that can be",
        ),
    ],
)
def test_name_that_imports_no_method_is_told_in_one_line(tmp_path: Path, method: str, told: str) -> None:
    assert refusal(write(tmp_path, method=method)).startswith(told)
    message = refusal(write(tmp_path, method={"choice": ["dicehubert", method]}, smoothing={}))
    assert message.startswith("smoothing: unknown key; expected one of name, ")


def test_depth_as_an_override_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, space={}), "student.depth=10000000") == (
        "student.depth: 10000000; expected less than or equal to 1000"
    )


def test_student_that_no_machine_holds_has_no_cost(tmp_path: Path) -> None:
    student = {"width": 65_536, "heads": 1_024, "depth": 1_000, "ffn_ratio": 64}
    spec = load_spec(write(tmp_path, student=student, space={}))
    teacher = StudentSettings().encoder()
    with pytest.raises(InputError, match=r"student: [\d,]+ million parameters; expected at most 20,000 million"):
        spec.student_config({"method": "dicehubert"}, teacher)


def test_more_conv_stages_than_bins_are_told_by_the_settings(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, method="unfused", student={}, space={"student.depth": {"int": [1, 9]}}))
    with pytest.raises(InputError, match=r"student: depth: 7; expected at most 6: each stage halves 64 bins"):
        spec.settings({"method": "unfused", "student.depth": 7})
    assert spec.settings({"method": "unfused", "student.depth": 6}).student.encoder().channels == [64] * 6


def test_bounds_of_a_distribution_are_listed_without_what_lies_between() -> None:
    wide = Distribution.model_validate({"int": [-(2**53), 2**53]})
    assert wide.values() == [-(2**53), 2**53]
    assert Distribution.model_validate({"int": [1, 9], "step": 4}).values() == [1, 5, 9]


def test_largest_encoder_within_the_bounds_is_costed_at_once() -> None:
    blocks = Blocks(count=1_000, heads=65_536, head_width=65_536, ffn=4_194_304)
    config = EncoderConfig(front_end=LogMel(channels=[65_536] * 2), width=65_536, blocks=blocks)
    assert config.depth == 1_000
