"""The schemas for editors say of a document what the loader says of it, each with an independent validator."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from raysearch.encoder.document import as_config
from raysearch.errors import InputError
from raysearch.files.bundled import ENCODERS, FOR_EDITORS, SPACES, bundled
from raysearch.spec.loading import parse_spec
from raysearch.spec.schema import encoder_schema, spec_schema
from tests.spec.test_document import GOOD, SMOOTHED

SEARCH = Draft202012Validator(spec_schema())
ENCODER = Draft202012Validator(encoder_schema())
DOCUMENTS = [*bundled(SPACES).values(), *bundled(ENCODERS).values()]
WAVEFORM = {
    "front_end": {"kind": "waveform"},
    "width": 64,
    "blocks": {"count": 2, "heads": 4, "head_width": 16, "ffn": 128},
}

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"teacher": {"source": "train"}},
    {"teacher": {}},
    {"teacher": {"source": "torchaudio:HUBERT_BASE"}},
    {"teacher": {"source": "some/folder"}},
    {"teacher": {"source": "train", "corpus": {"kind": "an4", "root": "an4"}}},
    {"corpus": {"kind": "voxceleb", "train": [{"file": "a"}], "dev": {"file": "b"}, "test": {"file": "c"}}},
    {"corpus": {"kind": "several", "corpora": [{"root": "a"}, {"kind": "labelled", "root": "b"}]}},
    {"task": [{"kind": "phonemes"}, {"kind": "asr"}], "objectives": ["params", "wer"]},
    {"task": [{"kind": "phonemes"}, {"kind": "speaker"}], "objectives": ["macs", "per", "eer"]},
    {"objectives": ["macs", "params", "per"]},
    {"method": {"choice": ["dicehubert", "distilhubert"]}, "student": {"depth": 2}, "space": {}},
    {"method": SMOOTHED, "smoothing": {"kind": "x"}, "space": {"smoothing.strength": {"float": [0.1, 0.9]}}},
    {"method": {"choice": ["dicehubert", SMOOTHED]}, "smoothing": {"strength": 0.3}},
    {"space": {"training.lr": {"float": [1e-4, 1e-2], "log": True, "when": {"method": "dicehubert"}}}},
    {"space": {"student.width": {"int": [64, 128], "step": 16}}, "student": {"heads": 4}},
    {"workers": {"use_gpu": "auto", "lanes": 2}, "constraints": {"macs_g": None}},
    {"workers": {"lanes": "auto"}},
    {"method": "supernet", "search": {"rungs": [0]}, "supernet": {"smallest": {"width": 64}}, "space": {}},
    {"method": "supernet", "student": {"heads": {"2": 3}, "ffn_ratio": 2.0}, "space": {}},
    {
        "method": "supernet",
        "student": {"ffn_ratio": {"2": 1.5}},
        "space": {"student.ffn_ratio.1": {"choice": [1.0, 2.0]}, "student.heads.3": {"int": [1, 2]}},
    },
    {"deploy": {"precision": "int8"}},
    {"space": {"deploy.precision": {"choice": ["fp32", "int8"]}}},
    {"search": {"rungs": [0.5, 1.0], "updates_of": {"dicehubert": 3}, "start": [{"student.depth": 2}]}},
]
REFUSED: list[dict[str, Any]] = [
    {"corpsu": 1},
    {"name": "a b"},
    {"search": {"trails": 5}},
    {"search": {"trials": 0}},
    {"search": {"rungs": []}},
    {"search": {"rungs": [-0.5, 1]}},
    {"search": {"updates_of": {"dicehuber": 3}}},
    {"corpus": {}},
    {"corpus": {"kind": "an4"}},
    {"corpus": {"root": "an4"}},
    {"corpus": {"kind": "timit"}},
    {"corpus": {"kind": "synthetic", "speakers": {"train": 0}}},
    {"task": []},
    {"task": {}},
    {"task": [{"kind": "phonemes", "updats": 9}]},
    {"teacher": {"source": "train", "heigth": 3}},
    {"teacher": {"source": "folder", "depth": 3}},
    {"method": "dicehuber"},
    {"method": {"choices": ["hubert"]}},
    {"method": {"choice": []}},
    {"space": {"student.dept": {"int": [1, 2]}}},
    {"space": {"student.depth": {"int": ["a", 1]}}},
    {"method": "supernet", "space": {"student.ffn_ratio.0": {"choice": [1.0]}}},
    {"method": "supernet", "space": {"student.depth.1": {"choice": [1]}}},
    {"method": "supernet", "space": {}, "student": {"heads": {"2": 0}}},
    {"space": {"student.depth": {"int": [1, 2], "choice": [1]}}},
    {"space": {"student.depth": {}}},
    {"space": {"student.depth": {"float": [1, 2], "step": 1}}},
    {"space": {"student.depth": {"int": [1, 8], "step": 1, "log": True}}},
    {"space": {"student.depth": 3}},
    {"student": {"heads": "four"}},
    {"student": {"heigth": 3}},
    {"deploy": {"precision": "int4"}},
    {"deploy": {"bits": 8}},
    {"training": {"lr": -1}},
    {"workers": {"use_gpu": "maybe"}},
    {"objectives": ["macs", "params"]},
    {"objectives": ["macs"]},
    {"objectives": ["per"]},
    {"objectives": ["macs", "per", "per"]},
    {"objectives": ["macs", "params", "per", "macs"]},
    {"objectives": ["macs", "acc"]},
]
FOR_THE_LOADER_ALONE: dict[str, dict[str, Any]] = {
    "bounds the wrong way round": {"space": {"student.depth": {"int": [4, 1]}}},
    "a bound that the setting does not take": {"space": {"student.depth": {"int": [0, 2]}}},
    "the error of another task": {"objectives": ["macs", "wer"]},
    "a setting of another method": {"adapter": {"width": 8}},
    "a setting both fixed and searched": {"student": {"depth": 2}},
    "a setting of one block both fixed and searched": {
        "method": "supernet",
        "student": {"ffn_ratio": {"1": 2.0}},
        "space": {"student.ffn_ratio.1": {"choice": [1.0]}},
    },
    "a setting searched for all blocks and for one": {
        "method": "supernet",
        "space": {"student.heads": {"int": [1, 2]}, "student.heads.1": {"int": [1, 2]}},
    },
    "a width that does not suit the heads": {"student": {"width": 100, "heads": 3}},
    "a rung before the first update, of a method that has none": {"search": {"rungs": [0, 1]}},
    "rungs that do not end with the budget": {"search": {"rungs": [0.5]}},
    "a start outside the space": {"search": {"start": [{"student.depth": 9}]}},
    "folders named twice": {"corpus": {"kind": "librispeech", "root": "a", "splits": {"train": ["x"], "dev": ["x"]}}},
    "a method from elsewhere that is not there": {"method": "nowhere:Nothing"},
}


def loads(document: dict[str, Any]) -> bool:
    try:
        parse_spec(deepcopy(document), where="tiny.yaml")
    except InputError:
        return False
    return True


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.stem)
def test_document_that_comes_along_is_valid_and_names_the_schema_beside_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    schema = SEARCH if file.parent.name == SPACES else ENCODER
    assert list(schema.iter_errors(yaml.safe_load(text))) == []
    assert text.startswith(f"{FOR_EDITORS} $schema=schema.json\n")
    assert (file.parent / "schema.json").is_file()


@pytest.mark.parametrize("changes", ACCEPTED, ids=str)
def test_what_the_loader_takes_is_valid(changes: dict[str, Any]) -> None:
    document = GOOD | changes
    assert loads(document)
    assert [error.message for error in SEARCH.iter_errors(document)] == []


@pytest.mark.parametrize("changes", REFUSED, ids=str)
def test_what_the_loader_refuses_is_not(changes: dict[str, Any]) -> None:
    document = GOOD | changes
    assert not loads(document)
    assert not SEARCH.is_valid(document)


@pytest.mark.parametrize("key", ["name", "corpus", "teacher", "task", "method"])
def test_key_that_the_loader_needs_is_needed(key: str) -> None:
    document = {name: value for name, value in GOOD.items() if name != key}
    assert not loads(document)
    assert not SEARCH.is_valid(document)


@pytest.mark.parametrize("why", FOR_THE_LOADER_ALONE)
def test_relations_between_values_are_for_the_loader_alone(why: str) -> None:
    """A schema looks at each value by itself."""
    document = GOOD | FOR_THE_LOADER_ALONE[why]
    assert not loads(document)
    assert SEARCH.is_valid(document)


def test_number_in_quotes_is_read_but_marked() -> None:
    document = GOOD | {"search": {"trials": "3"}}
    assert loads(document)
    assert not SEARCH.is_valid(document)


@pytest.mark.parametrize(
    ("document", "valid"),
    [
        (WAVEFORM, True),
        ({"kind": "conv"}, True),
        ({}, False),
        ({"front_end": {}}, False),
        ({"kind": "conv", "bins": 0}, False),
        (WAVEFORM | {"widht": 3}, False),
    ],
)
def test_encoder_document_is_judged_alike(document: dict[str, Any], valid: bool) -> None:
    try:
        as_config(document, "encoder.yaml")
        loaded = True
    except InputError:
        loaded = False
    assert (loaded, ENCODER.is_valid(document)) == (valid, valid)


@pytest.mark.parametrize("schema", [SEARCH.schema, ENCODER.schema], ids=["search", "encoder"])
def test_every_key_is_described(schema: dict[str, Any]) -> None:
    described = {key: "description" in field for key, field in keys_of(schema)}
    assert len(described) > 20
    assert [key for key, is_described in described.items() if not is_described] == []


def keys_of(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that an editor completes, with its schema."""
    for name, model in {"": schema, **schema["$defs"]}.items():
        for key, field in model.get("properties", {}).items():
            yield f"{name}.{key}", field
            yield from ((f"{key}.{inner}", one) for inner, one in field.get("properties", {}).items())


def test_space_and_methods_are_listed() -> None:
    fields = SEARCH.schema["properties"]
    assert {"student.depth", "targets.clusters", "pruning.size_ratio"} <= fields["space"]["properties"].keys()
    assert {"hubert", "oskdft"} <= set(fields["method"]["anyOf"][0]["anyOf"][0]["enum"])
    assert set(fields["student"]["properties"]) >= {"depth", "width", "heads", "blocks"}
