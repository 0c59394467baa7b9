"""Encoders from fairseq's files. The oracle is torchaudio: its own table of fairseq's names, its models' layers."""

import argparse
import contextlib
import enum
import os
import re
from pathlib import Path

import pytest
import torch
from torchaudio.models.wav2vec2.utils.import_fairseq import _convert_state_dict

from raysearch.encoder.imports.fairseq import KEYS, conv_layers, import_fairseq
from raysearch.encoder.imports.keys import exported, inverted, renamed
from raysearch.encoder.imports.torchaudio import import_torchaudio
from raysearch.errors import InputError
from tests.encoder.imports.other_libraries import CONVS, assert_layers_of_torchaudio, torchaudio_model


def settings(kind: str) -> dict[str, object]:
    large = kind.endswith("large")
    return {
        "extractor_mode": "layer_norm" if large else "default",
        "conv_feature_layers": " + ".join(f"[{conv}]" for conv in CONVS),
        "encoder_attention_heads": 2,
        "layer_norm_first": large,
        "max_distance": 40,
    }


def fairseq_weights(kind: str) -> dict[str, torch.Tensor]:
    """The weights of torchaudio's model under fairseq's names; of a GroupNorm and a LayerNorm these differ."""
    weights = exported(import_torchaudio(torchaudio_model(kind)), KEYS)
    if kind.endswith("large"):
        weights = {re.sub(r"(conv_layers\.\d+\.2)\.", r"\1.1.", key): tensor for key, tensor in weights.items()}
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    for new, name in old.items():
        weights[f"encoder.pos_conv.0.{name}"] = weights.pop(f"encoder.pos_conv.0.{new}")
    return weights | {"mask_emb": torch.zeros(24), "final_proj.weight": torch.zeros(4, 24)}


@pytest.mark.parametrize("kind", ["hubert-base", "hubert-large"])
def test_layers_against_torchaudio_by_its_own_names(kind: str, tmp_path: Path) -> None:
    weights = fairseq_weights(kind)
    torch.save({"model": weights, "cfg": {"model": settings(kind), "task": {"normalize": False}}}, tmp_path / "a.pt")
    model = torchaudio_model(kind)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    model.load_state_dict(_convert_state_dict(weights))
    assert_layers_of_torchaudio(model, import_fairseq(tmp_path / "a.pt"), torch.randn(2, 4000), 4000, 3000)


@pytest.mark.parametrize("kind", ["wavlm-base", "wavlm-large"])
def test_layers_of_wavlm_against_torchaudio(kind: str, tmp_path: Path) -> None:
    torch.save({"model": fairseq_weights(kind), "cfg": {**settings(kind), "normalize": True}}, tmp_path / "a.pt")
    encoder = import_fairseq(tmp_path / "a.pt")
    assert encoder.config.front_end.normalise
    encoder.front_end.normalise = False
    assert_layers_of_torchaudio(torchaudio_model(kind), encoder, torch.randn(1, 4000))


@pytest.mark.parametrize("zipped", [True, False])
def test_settings_in_foreign_objects_are_read_and_nothing_is_run(zipped: bool, tmp_path: Path) -> None:
    """As before fairseq 0.10: settings are an `argparse.Namespace`."""
    args = argparse.Namespace(**settings("hubert-base"), normalize=False)
    file = tmp_path / "old.pt"
    torch.save({"args": args, "model": fairseq_weights("hubert-base")}, file, _use_new_zipfile_serialization=zipped)
    encoder = import_fairseq(file)
    expected = import_torchaudio(torchaudio_model("hubert-base")).state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in encoder.state_dict().items())


class Evil:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.file}",)


class Sneaky(Evil):
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (f"open({str(self.file)!r}, 'w')",)


@pytest.mark.parametrize("evil", [Evil, Sneaky])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickle_that_would_run_a_command_does_not(evil: type[Evil], zipped: bool, tmp_path: Path) -> None:
    file = tmp_path / "evil.pt"
    content = {"model": fairseq_weights("hubert-base"), "cfg": {"model": settings("hubert-base")}}
    content["extra"] = evil(tmp_path / "ran")
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    # Whether it is read without its command or refused for it: one line, and nothing has run.
    with contextlib.suppress(InputError):
        import_fairseq(file)
    assert not (tmp_path / "ran").exists()


def test_fine_tuned_model_gives_its_encoder(tmp_path: Path) -> None:
    weights = {f"w2v_encoder.w2v_model.{key}": tensor for key, tensor in fairseq_weights("hubert-base").items()}
    weights["w2v_encoder.proj.weight"] = torch.zeros(5, 24)
    outer = {"w2v_args": {"model": settings("hubert-base"), "task": {"normalize": True}}, "layer_norm_first": True}
    torch.save({"model": weights, "cfg": {"model": outer}}, tmp_path / "a.pt")
    encoder = import_fairseq(tmp_path / "a.pt")
    assert (encoder.config.norm, encoder.config.front_end.normalise) == ("post", True)


def test_names_there_and_back_are_the_same() -> None:
    encoder = import_torchaudio(torchaudio_model("wavlm-large"))
    weights = exported(encoder, KEYS)
    ours = renamed(weights, KEYS, "fairseq")
    assert all(torch.equal(tensor, encoder.state_dict()[key]) for key, tensor in ours.items())
    assert renamed(ours, inverted(KEYS), "raysearch").keys() == weights.keys()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"model": None}, "model: missing"),
        ({"cfg": None}, "encoder_attention_heads: missing"),
        ({"model": {"decoder.weight": torch.zeros(1)}}, "missing: feature_extractor.conv_layers.0.0.weight"),
    ],
)
def test_another_file_of_fairseq_is_refused(change: dict[str, object], fault: str, tmp_path: Path) -> None:
    content = {"model": fairseq_weights("hubert-base"), "cfg": {"model": settings("hubert-base")}}
    torch.save(content | change, tmp_path / "a.pt")
    with pytest.raises(InputError, match=fault):
        import_fairseq(tmp_path / "a.pt")


def test_missing_and_truncated_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.pt: No such file"):
        import_fairseq(tmp_path / "a.pt")
    torch.save({"model": fairseq_weights("hubert-base")}, tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:-3000])
    with pytest.raises(InputError, match=r"a\.pt: .+; expected a whole file"):
        import_fairseq(tmp_path / "a.pt")


PUBLISHED = [(512, 10, 5), *[(512, 3, 2)] * 4, *[(512, 2, 2)] * 2]


@pytest.mark.parametrize(
    "given",
    [
        "[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] + [(512,2,2)]",
        " [(512, 10, 5)]+4 * [(512,3,2)] + [(512, 2, 2)] * 2",
        "[(512, 10, 5)] + 2 * ([(512, 3, 2)] * 2) + [[512, 2, 2], [512, 2, 2]]",
        PUBLISHED,
        [list(layer) for layer in PUBLISHED],
    ],
)
def test_convolutions_are_parsed_however_they_are_written(given: object) -> None:
    assert conv_layers(given) == PUBLISHED


@pytest.mark.parametrize(
    "given",
    [
        "__import__('os').system('true')",
        "[(512, 10, 5)] * 10**9",
        "[(512, 10, 5)] * 1000000000",
        "[(512, 10)]",
        "[(512, 10, '5')]",
        "[(512, 10, -5)]",
        "[(512, 10, True)]",
        "[(512, 10, 5) for _ in range(9)]",
        "[(512, 10, 5)",
        "(" * 10_000,
        "5",
        "",
        7,
        [8, 3, 2],
        {"a": 1},
    ],
)
def test_what_is_no_list_of_convolutions_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match=r"; expected a sum of lists"):
        conv_layers(given)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"activation_fn": "relu"}, "activation_fn: 'relu'; expected 'gelu'"),
        ({"encoder_attention_heads": "2"}, "encoder_attention_heads: '2'; expected a valid integer"),
        ({"encoder_attention_heads": 0}, "encoder_attention_heads: 0; expected greater than or equal to 1"),
        ({"encoder_attention_heads": 5}, "encoder_attention_heads: 5; expected a divisor of the width = 24"),
        ({"encoder_attention_heads": [2]}, "encoder_attention_heads: list; expected a valid integer"),
        ({"conv_feature_layers": "7"}, "conv_feature_layers: '7'; expected a sum of lists"),
        (
            {"conv_feature_layers": "[(8, 10, 5)]"},
            "conv_feature_layers: [(8, 10, 5)]; expected the convolutions",
        ),
        ({"extractor_mode": "group"}, "extractor_mode: 'group'; expected 'default' or 'layer_norm'"),
        ({"layer_norm_first": 3}, "layer_norm_first: 3; expected true or false"),
    ],
)
def test_setting_of_a_wrong_kind_is_told_by_its_key(change: dict[str, object], told: str, tmp_path: Path) -> None:
    content = {"model": fairseq_weights("hubert-base"), "cfg": {"model": settings("hubert-base") | change}}
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(InputError) as caught:
        import_fairseq(tmp_path / "a.pt")
    assert str(caught.value).startswith(f"{tmp_path / 'a.pt'}: {told}")


class Mode(enum.Enum):
    """As an enumeration of fairseq, whose class is not there when its file is read."""

    DEFAULT = "default"


def test_enumeration_counts_as_its_value_and_a_reference_as_nothing(tmp_path: Path) -> None:
    model = settings("hubert-base") | {"extractor_mode": Mode.DEFAULT, "normalize": "${task.normalize}"}
    cfg = {"model": model, "task": {"normalize": True}}
    torch.save({"model": fairseq_weights("hubert-base"), "cfg": cfg}, tmp_path / "a.pt")
    front_end = import_fairseq(tmp_path / "a.pt").config.front_end
    assert (front_end.norm, front_end.normalise) == ("group", True)


def test_weights_of_a_wrong_kind_are_named(tmp_path: Path) -> None:
    weights = fairseq_weights("hubert-base")
    for key, weight, told in (
        ("encoder.layers.0.fc1.weight", torch.zeros(3), "(3,); expected a weight of 2 axes"),
        ("encoder.layers.0.fc1.weight", 3, "int; expected a weight of 2 axes"),
        ("encoder.layers.0.fc1.bias", "x", "no tensor of floating-point numbers; expected one"),
        ("encoder.layers.0.fc1.bias", torch.full((40,), torch.inf), "NaN or infinite; expected finite weights"),
    ):
        content = {"model": weights | {key: weight}, "cfg": {"model": settings("hubert-base")}}
        torch.save(content, tmp_path / "a.pt")
        with pytest.raises(InputError) as caught:
            import_fairseq(tmp_path / "a.pt")
        assert str(caught.value) == f"{tmp_path / 'a.pt'}: {key}: {told}"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<!DOCTYPE html><html>Not Found</html>", "an HTML page; expected the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a git-lfs pointer; expected the file itself"),
        (b"not a pickle at all", "not written by torch.save; expected a whole file of torch.save with weights alone"),
        (b"\x80\x04\x95\x00\x00", "not written by torch.save; expected a whole file of torch.save with weights alone"),
    ],
)
def test_file_that_is_no_pickle_is_told_without_the_advice_to_run_it(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(InputError) as caught:
        import_fairseq(tmp_path / "a.pt")
    assert str(caught.value).startswith(f"{tmp_path / 'a.pt'}: {told}")
    assert "weights_only" not in str(caught.value)
