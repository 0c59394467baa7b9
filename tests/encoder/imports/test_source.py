"""Where an encoder lies: what a source means, and what is said of one that is not there."""

from pathlib import Path

import pytest
import torch

from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.imports.source import read_encoder, source_key, split_source
from raysearch.errors import InputError
from tests.encoder.imports.other_libraries import transformers_folder
from tests.encoder.small_encoders import small


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("torchaudio:HUBERT_BASE", ("torchaudio", "HUBERT_BASE")),
        ("hf:/a/12:30:00/x", ("hf", "/a/12:30:00/x")),
        ("fairseq:a:b.pt", ("fairseq", "a:b.pt")),
        ("/runs/12:30:00", ("", "/runs/12:30:00")),
        ("hfx:y", ("", "hfx:y")),
        ("models/base", ("", "models/base")),
    ],
)
def test_kind_is_what_stands_before_the_first_colon(source: str, expected: tuple[str, str]) -> None:
    assert split_source(source) == expected


def test_colon_in_a_path_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "run 12:30:00"
    transformers_folder(folder, "hubert-base")
    encoder = read_encoder(f"hf:{folder}")
    save_encoder(encoder, tmp_path / "our:s")
    ours = read_encoder(str(tmp_path / "our:s")).state_dict()
    assert all(torch.equal(ours[key], tensor) for key, tensor in encoder.state_dict().items())
    assert source_key(f"hf:{folder}") != source_key(str(tmp_path / "our:s"))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "hf:facebook/hubert-base-ls960",
            "hf:facebook/hubert-base-ls960: not there; expected a folder, as it comes by: "
            "hf download facebook/hubert-base-ls960 --local-dir facebook/hubert-base-ls960",
        ),
        ("hf:/nowhere/at/all", "'hf:/nowhere/at/all': not there; expected a folder"),
        ("fairseq:a.pt", "fairseq:a.pt: not there; expected a file"),
        ("models/base", "'models/base': not there; expected torchaudio:NAME, hf:DIR, fairseq:FILE or a folder with"),
        ("modelhub:base", "'modelhub:base': not there; expected torchaudio:NAME, hf:DIR, fairseq:FILE or a folder"),
    ],
)
def test_source_that_is_not_there_says_how_to_get_it(
    source: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for act in (read_encoder, source_key):
        with pytest.raises(InputError) as caught:
            act(source)
        assert str(caught.value).startswith(told)


def test_diverged_encoder_of_ours_is_refused_by_its_weight(tmp_path: Path) -> None:
    encoder = Encoder(small("logmel"))
    with torch.no_grad():
        encoder.projection.bias[0] = torch.nan
    save_encoder(encoder, tmp_path)
    with pytest.raises(InputError, match=r"model\.safetensors: projection\.bias: NaN or infinite; expected finite"):
        read_encoder(str(tmp_path))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_pointer_of_git_lfs_in_a_folder_of_ours_is_told_as_such(name: str, tmp_path: Path) -> None:
    save_encoder(Encoder(small("logmel")), tmp_path)
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 1\n")
    with pytest.raises(InputError) as caught:
        read_encoder(str(tmp_path))
    assert str(caught.value) == f"{tmp_path / name}: a git-lfs pointer; expected the file itself: git lfs pull"
