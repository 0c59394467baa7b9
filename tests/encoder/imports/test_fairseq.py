"""Encoders from fairseq's files. The oracle is torchaudio: its own table of fairseq's names, its models' layers."""

import argparse
import contextlib
import os
import re
from pathlib import Path

import pytest
import torch
from torchaudio.models.wav2vec2.utils.import_fairseq import _convert_state_dict

from raysearch.encoder.imports.fairseq import KEYS, import_fairseq, strides
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


def test_strides_of_the_published_text() -> None:
    assert strides("[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] + [(512,2,2)]") == [5, 2, 2, 2, 2, 2, 2]
    assert strides("[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512, 2, 2)] * 2") == [5, 2, 2, 2, 2, 2, 2]
