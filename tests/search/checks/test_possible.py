"""Settings that a teacher of six blocks makes impossible, and limits that no student keeps."""

import subprocess
import sys
from pathlib import Path

import pytest

from raysearch.encoder.document import read_config
from raysearch.errors import InputError
from raysearch.search.checks.possible import draw_possible, refuse_impossible
from raysearch.search.costs import Costs
from raysearch.spec.loading import load_spec
from raysearch.teachers.shape import known_shape
from tests.search.made_up import DOCUMENT, TEACHER, spec_with

SPACE = DOCUMENT["space"]
ROOT = Path(__file__).parents[3]
SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))
LAYERS = "expected 1 to 6, or -1 for the last block"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"targets": {"layer": 9}}, f"targets.layer: 9; {LAYERS}"),
        ({"space": {**SPACE, "targets.layer": {"choice": [3, 9]}}}, f"space.targets.layer: 9; {LAYERS}"),
        ({"space": {**SPACE, "targets.layer": {"int": [4, 12]}}}, f"space.targets.layer: 7; {LAYERS}"),
        ({"method": "distilhubert", "space": {}}, f"distillation.layers: 8; {LAYERS}"),
        (
            {"method": {"choice": ["dicehubert", "distilhubert"]}},
            f"method distilhubert: distillation.layers: 8; {LAYERS}",
        ),
        (
            {"method": "oskdft", "student": {}, "space": {"student.blocks": {"int": [1, 9]}}},
            "space.student.blocks: 7; expected at most the teacher's 6",
        ),
    ],
)
def test_setting_that_the_teacher_makes_impossible_is_refused(changes, fault) -> None:
    with pytest.raises(InputError) as refused:
        refuse_impossible(spec_with(**changes), TEACHER)
    assert str(refused.value) == fault


def test_start_point_without_a_student_is_refused_by_its_place() -> None:
    space = {"pruning.macs_ratio": {"float": [0.01, 0.9]}}
    start = [{"pruning.macs_ratio": 0.5}, {"pruning.macs_ratio": 0.01}]
    with pytest.raises(InputError, match=r"^search\.start\[1\]\.pruning\.macs_ratio: 0\.01"):
        refuse_impossible(spec_with(method="hjpruning", student={}, space=space, search={"start": start}), TEACHER)


def test_start_point_over_a_limit_is_refused_by_its_place() -> None:
    small, large = ({"student.depth": depth, "student.width": 64 * depth} for depth in (1, 4))
    limit = 1.01 * Costs(spec_with(), TEACHER)({"method": "dicehubert", **small}).macs_g
    spec = spec_with(search={"start": [small, large]}, constraints={"macs_g": limit})
    with pytest.raises(
        InputError, match=r"^search\.start\[1\]: .* GMAC and .*; expected a point within constraints\.macs_g"
    ):
        refuse_impossible(spec, TEACHER)


def test_impossible_search_is_refused_before_ray_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys, raysearch\nfrom raysearch.errors import InputError\n"
        "try: raysearch.search('quickstart', storage=sys.argv[1], name='x', say=print)\n"
        "except InputError as err: print(err, *({'ray', 'torch', 'optuna'} & set(sys.modules)))\n"
    )
    document = Path(tmp_path, "x.yaml")
    document.write_text((ROOT / "search_spaces/quickstart.yaml").read_text().replace("layer: -1", "layer: 9"))
    code = code.replace("'quickstart'", repr(str(document)))
    said = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True).stdout
    assert said == "targets.layer: 9; expected 1 to 3, or -1 for the last block\n"


def test_source_that_needs_no_layer_takes_any() -> None:
    refuse_impossible(spec_with(targets={"layer": 9, "source": "mfcc"}), TEACHER)


def test_limit_below_the_smallest_student_is_refused_with_its_cost() -> None:
    smallest = {"method": "dicehubert", "student.depth": 1, "student.width": 64}
    least = Costs(spec_with(), TEACHER)(smallest)
    with pytest.raises(InputError) as refused:
        refuse_impossible(spec_with(constraints={"macs_g": 0.001}), TEACHER)
    said = str(refused.value)
    assert said.startswith("constraints.macs_g: 0.001; expected at least ")
    assert f"the smallest configuration has {least.macs_g:.4g} GMAC (method dicehubert, student.depth 1, " in said
    with pytest.raises(InputError, match=rf"^constraints\.params_m: .*{least.params_m:.4g} M parameters"):
        refuse_impossible(spec_with(constraints={"params_m": 0.9 * least.params_m}), TEACHER)
    # What is expected is enough, and so is a corner that few draws come near.
    expected = float(said.partition("at least ")[2].partition(":")[0])
    refuse_impossible(spec_with(constraints={"macs_g": expected}), TEACHER)


def test_corner_of_a_wide_space_that_no_draw_hits_is_found() -> None:
    space = {"student.depth": {"int": [1, 500]}, "student.width": {"int": [64, 4096], "step": 64}}
    least = Costs(spec_with(), TEACHER)({"method": "dicehubert", "student.depth": 1, "student.width": 64})
    refuse_impossible(spec_with(space=space, constraints={"macs_g": 1.001 * least.macs_g}), TEACHER)


def test_share_out_of_reach_at_the_end_of_a_range_is_left_to_the_searcher() -> None:
    space = {"pruning.macs_ratio": {"float": [0.01, 0.9]}}
    spec = spec_with(method="hjpruning", student={}, space=space)
    refuse_impossible(spec, TEACHER)
    assert 0 < len(draw_possible(spec, TEACHER)) <= 64


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_no_document_that_comes_along_is_impossible(path: Path) -> None:
    spec = load_spec(path)
    # Whisper's folder, which says what it is, does not come along.
    teacher = known_shape(spec.teacher) or read_config(ROOT / "encoders/whisper-base.yaml")
    refuse_impossible(spec, teacher)


def test_only_a_whisper_has_a_shape_that_no_document_says() -> None:
    assert len(SPACES) > 20
    specs = [load_spec(path) for path in SPACES]
    # Beside a checkout that has the folder its shape is known, elsewhere it is not.
    unknown = [spec for spec in specs if known_shape(spec.teacher) is None]
    assert all(spec.teacher.source.endswith("whisper-base-encoder") for spec in unknown)
