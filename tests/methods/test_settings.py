"""Settings of methods: presets, and faults that are told before anything is trained."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from raysearch.encoder.config import AnyConfig, ConvConfig
from raysearch.errors import InputError
from raysearch.methods.settings import StudentSettings, block_numbers
from raysearch.methods.table import METHODS, load_method
from raysearch.spec.space import has_setting

TEACHER = StudentSettings(depth=6, width=256, heads=4).encoder()


@pytest.mark.parametrize("name", METHODS)
def test_method_with_empty_document_then_defaults_make_a_student(name):
    method = load_method(name)
    has_layers = has_setting(name, "distillation.layers")
    # The defaults name blocks of a 12-block teacher.
    settings = method.Settings.model_validate({"distillation": {"layers": [6]}} if has_layers else {})
    assert isinstance(method.student(settings, TEACHER), AnyConfig)
    assert method.name == name


@pytest.mark.parametrize("name", METHODS)
def test_method_modules_when_imported_then_torch_is_not(name):
    load = f"from raysearch.methods.table import load_method; load_method({name!r})"
    code = f"import sys; {load}; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"hubert", "unfused"}))
def test_method_that_learns_from_blocks_under_a_teacher_without_a_transformer_is_refused_in_one_line(name):
    method = load_method(name)
    with pytest.raises(
        InputError, match=r"^teacher\.source: an encoder without a transformer; expected one with blocks"
    ):
        method.student(method.Settings(), ConvConfig())


def test_hubert_with_part_of_its_targets_then_the_rest_stays_mfcc():
    settings = load_method("hubert").Settings.model_validate({"targets": {"seed": 3}})
    assert (settings.targets.source, settings.targets.clusters) == ("mfcc", 100)


@pytest.mark.parametrize("layers", [[3], [1, 5], [0], [4, -1], [-1, -1]])
def test_prediction_layers_without_the_last_block_or_twice_then_refused(layers):
    with pytest.raises(ValidationError, match=r"prediction\.layers: .*; expected"):
        load_method("dicehubert").Settings.model_validate({"student": {"depth": 4}, "prediction": {"layers": layers}})


@pytest.mark.parametrize(("depth", "blocks"), [(12, [4, 12]), (4, [1, 4]), (1, [1])])
def test_fasthubert_then_a_block_a_third_of_the_way_up_predicts_too(depth, blocks):
    assert load_method("fasthubert").Settings().prediction.blocks(depth) == blocks


@pytest.mark.parametrize(
    ("name", "document", "key"),
    [
        ("dicehubert", {"targets": {"layer": 7}}, "targets.layer: 7"),
        ("distilhubert", {"distillation": {"layers": [4, 8, 12]}}, "distillation.layers: 8"),
    ],
)
def test_student_when_the_teacher_lacks_the_layer_then_input_error(name, document, key):
    method = load_method(name)
    with pytest.raises(InputError, match=f"{key}; expected 1 to 6"):
        method.student(method.Settings.model_validate(document), TEACHER)


def test_block_numbers_when_negative_then_from_the_last():
    assert block_numbers([1, -1, -6], 6) == [1, 6, 1]
