"""The search document: what it accepts, and the one line with which it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from raysearch.errors import InputError
from raysearch.files.digest import document_digest
from raysearch.spec.document import LATER_GROUPS, LATER_LIMITS, LATER_OF_SEARCH, LATER_OF_TASKS
from raysearch.spec.loading import differences, load_spec
from raysearch.storage.folder import Links, SearchFolder
from raysearch.training.quantised import Quantised

GOOD: dict[str, Any] = {
    "name": "tiny",
    "corpus": {"kind": "synthetic"},
    "teacher": {"source": "train", "method": "ctc"},
    "task": {"kind": "phonemes"},
    "method": "dicehubert",
    "space": {"student.depth": {"int": [1, 4]}},
}


SMOOTHED = "tests.spec.own_group:Smoothed"
"""A method with a group `smoothing` of its own."""


def write(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return path


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_spec(path, overrides)
    message = str(caught.value)
    assert message.startswith((f"{path}: ", "--set"))
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_differences_are_short_however_long_the_values(tmp_path: Path) -> None:
    long = [{"student.depth": 1 + number % 4} for number in range(200)]
    one, other = load_spec(write(tmp_path)), load_spec(write(tmp_path, search={"start": long, "trials": 3}))
    found = differences(one, other)
    assert found["search.trials"] == "24 -> 3"
    assert found["search.start"] == "[] -> [{'student.depth': 1}, {'stud..."


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"kind": "phonemes"}, ["macs", "per"]),
        ({"kind": "asr"}, ["macs", "wer"]),
        ({"kind": "speaker"}, ["macs", "eer"]),
        ([{"kind": "intent"}, {"kind": "asr"}], ["macs", "error"]),
    ],
    ids=str,
)
def test_objectives_that_are_left_out_follow_the_task(task: Any, expected: list[str], tmp_path: Path) -> None:
    assert load_spec(write(tmp_path, task=task)).objectives == expected


def test_good_document_loads(tmp_path: Path) -> None:
    assert load_spec(write(tmp_path)).methods == ["dicehubert"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"corpsu": 1}, "corpsu: unknown key; expected one of name, corpus, "),
        ({"search": {"trails": 5}}, "(did you mean trials?)"),
        ({"search": {"trials": "many"}}, "search.trials: 'many'; expected"),
        ({"corpus": {"kind": "an4"}}, "corpus.root: missing"),
        ({"corpus": {"kind": "timit"}}, "corpus.kind: 'timit'; expected one of 'an4'"),
        ({"corpus": {"root": "an4"}}, "corpus.kind: missing"),
        ({"corpus": {"kind": "synthetic", "speakers": {"train": 0}}}, "corpus.speakers.train: 0; expected greater"),
        ({"task": [{"kind": "phonemes", "updats": 9}]}, "task[0].updats: unknown key"),
        ({"method": {"choices": ["hubert"]}}, "method.choices: unknown key; expected one of choice"),
        ({"method": "dicehuber"}, "did you mean dicehubert"),
        ({"space": {"student.dept": {"int": [1, 2]}}}, "space.student.dept: unknown key"),
        ({"space": {"student.depth": {"int": [4, 1]}}}, "space.student.depth: [4, 1]; expected the lower bound first"),
        ({"space": {"student.depth": {"int": ["a", 1]}}}, "space.student.depth.int[0]: 'a'; expected"),
        ({"task": []}, "task: []; expected at least one"),
        ({"space": {"student.depth": {"int": 4}}}, "space.student.depth.int: 4; expected a list"),
        ({"space": {"student.depth": 3}}, "space.student.depth: 3; expected a mapping"),
        ({"space": {"student.depth": {"int": [0, 2]}}}, "space.student.depth: 0; expected greater than"),
        (
            {"space": {"student.depth": {"choice": [1, "two"]}}},
            "space.student.depth.choice[1]: 'two'; expected a valid",
        ),
        ({"student": {"heads": "four"}}, "student.heads: 'four'; expected a valid integer"),
        ({"training": {"lr": -1}}, "training.lr: -1; expected greater than 0"),
        ({"workers": {"use_gpu": "maybe"}}, "workers.use_gpu: 'maybe'; expected true, false or auto"),
        ({"student": {"centred": "maybe"}}, "student.centred: 'maybe'; expected true or false"),
        ({"student": {"heigth": 3}}, "student.heigth: unknown key"),
        ({"objectives": ["macs", "wer"]}, "objectives: 'wer'; expected one of"),
        ({"objectives": ["macs", "params"]}, "['macs', 'params']; expected two or three, each once: one or two costs"),
        ({"objectives": ["per"]}, "['per']; expected two or three, each once: one or two costs"),
        ({"objectives": ["macs", "per", "per"]}, "expected two or three, each once: one or two costs"),
        (
            {"objectives": ["macs", "params", "per", "eer"], "task": [{"kind": "phonemes"}, {"kind": "speaker"}]},
            "expected two or three, each once: one or two costs (macs, params, size, latency) and one or two errors",
        ),
        ({"search": {"rungs": [0.5]}}, "search.rungs: [0.5]; expected rising shares"),
        ({"search": {"rungs": [0, 0.5]}}, "search.rungs: [0.0, 0.5]; expected rising shares from 0 on that end with"),
        (
            {"search": {"rungs": [0, 1]}},
            "search.rungs: [0.0, 1.0]; expected shares above 0: a student of dicehubert is",
        ),
        (
            {"search": {"rungs": [0]}, "method": {"choice": ["tests.search.fake_method:Ready", "dicehubert"]}},
            "search.rungs: [0.0]; expected shares above 0: a student of dicehubert is no model before its first update",
        ),
        ({"search": {"updates_of": {"unfused": 9}}}, "search.updates_of: 'unfused'; expected one of dicehubert"),
        ({"search": {"start": [{"student.depth": 9}]}}, "search.start[0].student.depth: 9; expected 1 to 4"),
        ({"search": {"start": [{"training.lr": 1}]}}, "search.start[0].training.lr: not searched"),
        (
            {
                "space": {
                    "training.lr": {"choice": [1], "when": {"training.clip": 1}},
                    "training.clip": {"choice": [1], "when": {"training.lr": 1}},
                }
            },
            "space.training.clip.when: conditions form a circle; expected none",
        ),
        ({"student": {"width": "384.0", "heads": "5"}}, "student.width: 384; expected a multiple of student.heads = 5"),
        ({"device": {"seconds": 0}}, "device.seconds: 0; expected greater than or equal to 0.1"),
        ({"device": {"core": 1}}, "device.core: unknown key; expected one of resource, threads"),
        ({"constraints": {"latency_ms": 0}}, "constraints.latency_ms: 0; expected greater than 0"),
        ({"deploy": {"precision": "int4"}}, "deploy.precision: 'int4'; expected 'fp32', 'fp16'"),
        ({"deploy": {"precison": "int8"}}, "deploy.precison: unknown key; expected one of precision"),
        (
            {"space": {"deploy.precision": {"choice": ["fp32", "int4"]}}},
            "space.deploy.precision.choice[1]: 'int4'; expected 'fp32', 'fp16'",
        ),
        (
            {"deploy": {"precision": "int8"}, "space": {"deploy.precision": {"choice": ["fp32"]}}},
            "deploy.precision: fixed here and searched under space; expected one of the two",
        ),
        (
            {"task": {"kind": "speaker", "as_norm": 5}, "deploy": {"precision": "int8"}},
            "task.as_norm: 5; expected 0 with deploy.precision = int8: a file is judged by plain cosines",
        ),
        (
            {"task": {"kind": "speaker", "segments": 2}, "space": {"deploy.precision": {"choice": ["fp32", "fp16"]}}},
            "task.segments: 2; expected 0 with deploy.precision = fp16",
        ),
        ({"name": "../up"}, "name: '../up'; expected text of the pattern ^[A-Za"),
    ],
)
def test_bad_document_is_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert expected in refusal(write(tmp_path, **changes))


def test_width_not_divisible_by_heads_is_refused(tmp_path: Path) -> None:
    space = {"student.width": {"choice": [192, 200]}, "student.heads": {"choice": [3, 12]}}
    message = refusal(write(tmp_path, space=space))
    assert message == "space.student.width.choice[1]: 200; expected a multiple of student.heads = 3, e.g. 192"


def test_override_reaches_keys_of_the_space(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path), ["space.student.depth={int: [2, 3]}", "search.trials=3"])
    assert spec.space["student.depth"].int_ == (2, 3)
    assert spec.search.trials == 3


def test_supernet_with_a_head_of_its_own_for_a_task_that_asks_for_superbs_is_refused(tmp_path: Path) -> None:
    changes = {"method": "supernet", "space": {}, "student": {}, "task": {"kind": "asr", "head": "superb"}}
    said = refusal(write(tmp_path, **changes))
    assert "supernet.task_weight: 1.0 with task.head = superb; expected 0" in said
    assert load_spec(write(tmp_path, **changes), ["supernet.task_weight=0"]).task.lrs == [1e-4]


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    path.write_bytes(b"\x1f\x8b\x08\xff")
    assert "not YAML" in refusal(path)


def test_override_without_value_is_refused(tmp_path: Path) -> None:
    assert "expected KEY=VALUE" in refusal(write(tmp_path), "search.trials")


def test_missing_file_and_bad_yaml_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("name: [")
    assert "not YAML" in refusal(tmp_path / "bad.yaml")


def test_digest_ignores_name_and_workers(tmp_path: Path) -> None:
    one = load_spec(write(tmp_path))
    other = load_spec(write(tmp_path, workers={"lanes": 3}), name="other")
    assert one.digest == other.digest
    assert one.digest != load_spec(write(tmp_path), ["search.seed=1"]).digest


def test_digest_ignores_what_is_kept_on_disk(tmp_path: Path) -> None:
    digests = {load_spec(write(tmp_path), [f"search.keep_features_gb={gb}"]).digest for gb in ("auto", "0", "2.5")}
    assert digests == {load_spec(write(tmp_path)).digest}
    with pytest.raises(InputError, match=r"search\.keep_features_gb: -1"):
        load_spec(write(tmp_path), ["search.keep_features_gb=-1"])


def test_digest_knows_the_width_of_superbs_head_and_of_no_other(tmp_path: Path) -> None:
    linear, superb = [], ["task.head=superb"]
    for width in (16, 32):
        linear.append(load_spec(write(tmp_path), [f"task.head_width={width}"]).digest)
        superb.append(load_spec(write(tmp_path), ["task.head=superb", f"task.head_width={width}"]).digest)
    assert set(linear) == {load_spec(write(tmp_path)).digest}
    assert len({*linear, *superb[1:]}) == 3


def test_digest_of_a_document_from_before_later_groups_stays(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path))
    outside: Any = {"name": True, "workers": True, "notices": True, "device": True, **dict.fromkeys(LATER_GROUPS, True)}
    document = spec.model_dump(mode="json", by_alias=True, exclude=outside)
    for key in ("keep_features_gb", *LATER_OF_SEARCH):
        del document["search"][key]
    for key in (*LATER_OF_TASKS, "head_width"):
        document["task"].pop(key, None)
    for key in LATER_LIMITS:
        del document["constraints"][key]
    assert spec.digest == document_digest(document)
    assert spec.model_copy(update={"supernet": {"drawn": 3}}).digest != spec.digest
    assert spec.model_copy(update={"deploy": {"precision": "int8"}}).digest != spec.digest
    for changes in ({"device": {}}, {"device": {"seconds": 2}}, {"constraints": {"size_mb": 4}}):
        assert load_spec(write(tmp_path, **changes)).digest != spec.digest


@pytest.mark.parametrize(
    ("changes", "charges", "seconds"),
    [
        ({}, set(), None),
        ({"device": {"seconds": 2}}, set(), None),
        ({"objectives": ["size", "per"]}, {"size"}, None),
        ({"objectives": ["latency", "per"], "device": {"seconds": 2}}, {"latency"}, 2),
        ({"constraints": {"latency_ms": 9, "size_mb": 3}}, {"latency", "size"}, 5),
    ],
)
def test_latency_and_size_are_charged_where_an_objective_or_a_limit_asks(
    tmp_path: Path, changes: dict[str, Any], charges: set[str], seconds: float | None
) -> None:
    spec = load_spec(write(tmp_path, **changes))
    assert spec.charges == charges
    assert (spec.measured_on.seconds if spec.measured_on else None) == seconds
    assert spec.uncharged.charges == set()
    assert spec.uncharged.objectives == ["macs", "per"]


def test_deployment_is_of_every_method_and_reaches_none(tmp_path: Path) -> None:
    fixed = load_spec(write(tmp_path, deploy={"precision": "int8"}))
    drawn = load_spec(write(tmp_path, method=SMOOTHED, space={"deploy.precision": {"choice": ["fp32", "fp16"]}}))
    config = {"method": "dicehubert", "student.depth": 2}
    assert fixed.deploy_of(config).precision == fixed.unsearched("dicehubert", "deploy.precision") == "int8"
    assert load_spec(write(tmp_path)).unsearched("dicehubert", "deploy.precision") == "fp32"
    assert drawn.deploy_of({"method": SMOOTHED, "deploy.precision": "fp16"}).precision == "fp16"
    assert set(drawn.search_space.draw(np.random.default_rng(0))) == {"method", "deploy.precision"}
    assert fixed.settings({**config, "deploy.precision": "fp16"}) == load_spec(write(tmp_path)).settings(config)


def test_training_for_8_bits_belongs_to_a_precision(tmp_path: Path) -> None:
    searched = {"deploy.precision": {"choice": ["fp32", "int8", "int8-static"]}}
    searched |= {"deploy.aware": {"choice": [0.0, 0.3], "when": {"deploy.precision": ["int8", "int8-static"]}}}
    spec = load_spec(write(tmp_path, space=searched))
    fp32, int8, aware, static = (
        {"method": "dicehubert", "deploy.precision": precision, **more}
        for precision, more in (
            ("fp32", {}),
            ("int8", {"deploy.aware": 0.0}),
            ("int8", {"deploy.aware": 0.3}),
            ("int8-static", {"deploy.aware": 0.3}),
        )
    )
    assert spec.training_of(fp32) == spec.training_of(int8) == {"method": "dicehubert"}
    assert spec.training_of(int8) != spec.training_of(aware) != spec.training_of(static)
    assert spec.deploy_of(int8).quantised is None
    assert spec.deploy_of(aware).quantised == Quantised(0.3, static=False, convolutions=False)
    fixed = load_spec(write(tmp_path, deploy={"precision": "int8-static-conv", "aware": 0.3}))
    assert fixed.deploy_of({}).quantised == Quantised(0.3, static=True, convolutions=True)
    assert fixed.settings({"method": "dicehubert"}) == load_spec(write(tmp_path)).settings({"method": "dicehubert"})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"deploy": {"aware": 0.3}},
            "deploy.aware: 0.3 with deploy.precision = fp32, which has no 8 bits; expected 0",
        ),
        (
            {"deploy": {"aware": 0.3}, "space": {"deploy.precision": {"choice": ["int8", "fp16", "int8-static"]}}},
            "deploy.aware: 0.3 with deploy.precision = fp16, which has no 8 bits; expected it to be searched with "
            "when: {deploy.precision: [int8, int8-static]}",
        ),
        (
            {
                "space": {
                    "deploy.precision": {"choice": ["int8", "fp32"]},
                    "deploy.aware": {"float": [0, 0.5], "when": {"deploy.precision": "fp32"}},
                }
            },
            "space.deploy.aware: 0.5 with deploy.precision = fp32, which has no 8 bits; expected 0",
        ),
        (
            {"deploy": {"precision": "int8", "aware": 0.3}, "task": {"kind": "phonemes", "mode": "finetune"}},
            "deploy.aware: 0.3 with task.mode = finetune, which tunes in floats afterwards; expected 0",
        ),
        ({"deploy": {"precision": "int8", "aware": 1.5}}, "deploy.aware: 1.5; expected less than or equal to 1"),
        (
            {
                "method": "supernet",
                "deploy": {"precision": "int8", "aware": 0.3},
                "space": {},
                "search": {"rungs": [0.0]},
            },
            "deploy.aware: 0.3 with search.rungs = [0.0], where nothing is trained; expected 0",
        ),
    ],
)
def test_training_for_8_bits_that_a_file_has_not_is_refused(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    assert refusal(write(tmp_path, **changes)) == expected


def test_resolved_document_loads_to_the_same_spec(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, space={"training.lr": {"float": [1e-4, 1e-2], "log": True}}))
    path = tmp_path / "resolved.yaml"
    path.write_text(yaml.safe_dump(spec.model_dump(mode="json", by_alias=True, exclude_none=True)))
    assert load_spec(path) == spec


def test_group_that_comes_with_a_method_is_fixed(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, method=SMOOTHED, smoothing={"strength": 0.5}), ["smoothing.kind=unigram"])
    assert spec.fixed("smoothing") == {"strength": 0.5, "kind": "unigram"}
    smoothing = spec.settings({"method": SMOOTHED, "student.depth": 2}).smoothing
    assert (smoothing.strength, smoothing.kind) == (0.5, "unigram")


def test_group_that_comes_with_a_method_is_searched(tmp_path: Path) -> None:
    space = {"smoothing.strength": {"float": [0.0, 0.5]}}
    spec = load_spec(write(tmp_path, method={"choice": ["dicehubert", SMOOTHED]}, space=space, smoothing={"kind": "x"}))
    smoothing = spec.settings({"method": SMOOTHED, "smoothing.strength": 0.25}).smoothing
    assert (smoothing.strength, smoothing.kind) == (0.25, "x")
    assert not hasattr(spec.settings({"method": "dicehubert"}), "smoothing")
    assert spec.unsearched(SMOOTHED, "smoothing.kind") == "x"
    assert load_spec(write(tmp_path, method=SMOOTHED)).unsearched(SMOOTHED, "smoothing.kind") == "uniform"


def test_document_with_a_group_of_its_own_loads_to_the_same_spec(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, method=SMOOTHED, smoothing={"strength": 0.5}))
    folder = SearchFolder(tmp_path, "kept")
    assert folder.create(spec, Links("", ""))
    assert folder.spec() == spec
    assert folder.spec().digest == spec.digest != load_spec(write(tmp_path, method=SMOOTHED)).digest


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"smoothing": {"strength": 0.5}}, "smoothing: unknown key; expected one of name, corpus, "),
        ({"method": SMOOTHED, "smothing": {}}, "deploy, smoothing (did you mean smoothing?)"),
        ({"method": SMOOTHED, "rounds": 2}, "rounds: unknown key; expected one of name, "),
        ({"method": SMOOTHED, "smoothing": 3}, "smoothing: 3; expected a mapping of keys to values"),
        (
            {"method": SMOOTHED, "smoothing": {"strenght": 1}},
            "smoothing.strenght: unknown key; expected one of",
        ),
        ({"method": SMOOTHED, "smoothing": {"strength": 2}}, "smoothing.strength: 2; expected less than 1"),
        ({"method": SMOOTHED, "space": {"smoothing.force": {"int": [1, 2]}}}, "space.smoothing.force: unknown key"),
        ({"method": 3, "smoothing": {}}, "smoothing: unknown key; expected one of name, "),
        ({"method": "nowhere:Class", "smoothing": {}}, "smoothing: unknown key; expected one of name, "),
        ({"method": {"choice": "smoothed"}, "smoothing": {}}, "smoothing: unknown key; expected one of name, "),
    ],
)
def test_bad_group_of_its_own_is_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert expected in refusal(write(tmp_path, **changes))


def test_paths_among_a_method_s_settings_count_from_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, augmentation = {"kind": "speaker"}, {"musan": "sounds/musan", "rirs": str(tmp_path / "rooms"), "prob": 0.5}
    given = {"method": "oskdft", "task": task, "objectives": ["macs", "eer"], "space": {}, "augmentation": augmentation}
    path = write(tmp_path, **given)
    monkeypatch.chdir(tmp_path)
    spec = load_spec(path)
    monkeypatch.chdir("/")
    settings = spec.settings({"method": "oskdft"}).augmentation
    assert (settings.musan, settings.rirs) == (tmp_path / "sounds/musan", tmp_path / "rooms")
    assert spec.fixed("augmentation") == augmentation | {"musan": str(tmp_path / "sounds/musan")}


def test_unknown_key_is_refused_with_every_key_there_is(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, studnt={})) == (
        "studnt: unknown key; expected one of name, corpus, teacher, task, method, space, constraints, objectives, "
        "search, workers, device, notices, student, targets, prediction, distillation, ctc, pruning, supernet, "
        "adapter, backend, verification, augmentation, training, deploy (did you mean student?)"
    )
