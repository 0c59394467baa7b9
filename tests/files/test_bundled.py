"""The documents that come with raysearch, and the words that mean them."""

from pathlib import Path

import pytest

from raysearch.errors import InputError
from raysearch.files import bundled as room
from raysearch.files.bundled import ENCODERS, SPACES, bundled, find_document, purpose

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("folder", [SPACES, ENCODERS])
def test_checkout_gives_the_documents_at_its_top(folder: str) -> None:
    assert set(bundled(folder).values()) == set((ROOT / folder).glob("*.yaml"))


def test_installed_package_gives_its_own_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PACKAGE", tmp_path / "raysearch")
    for folder in (tmp_path / "raysearch", tmp_path):
        (folder / SPACES).mkdir(parents=True)
        (folder / SPACES / "one.yaml").touch()
    assert bundled(SPACES) == {"one": tmp_path / "raysearch" / SPACES / "one.yaml"}


def test_no_name_means_two_documents() -> None:
    assert not set(bundled(SPACES)) & set(bundled(ENCODERS))


def test_name_means_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_document(Path("quickstart"), SPACES) == ROOT / "search_spaces/quickstart.yaml"
    assert find_document(Path("hubert-base"), ENCODERS, SPACES) == ROOT / "encoders/hubert-base.yaml"
    # A folder of this name, as a search may have left it, is no document.
    Path("quickstart").mkdir()
    assert find_document(Path("quickstart"), SPACES) == ROOT / "search_spaces/quickstart.yaml"


def test_file_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quickstart").touch()
    assert find_document(Path("quickstart"), SPACES) == Path("quickstart")


@pytest.mark.parametrize("given", ["quickstrat", "search_spaces/quickstart.yaml", "quickstart.yml"])
def test_wrong_name_or_path_is_told_the_near_one(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        find_document(Path(given), SPACES)
    expected = "expected a search document, or a name from `raysearch spaces` (did you mean quickstart?)"
    assert str(caught.value) == f"{given}: No such file or directory; {expected}"


def test_name_of_an_encoder_is_no_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="hubert-base: No such file"):
        find_document(Path("hubert-base"), SPACES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Two lines, 1.5 s\n# long. And more.\nname: a\n# Not this.\n", "Two lines, 1.5 s long."),
        ("# Which one? This.\n", "Which one?"),
        ("# yaml-language-server: $schema=schema.json\n# A first sentence. More.\nname: a\n", "A first sentence."),
        ("# Without an end\nname: a\n", "Without an end"),
        ("name: a\n# Too late.\n", ""),
    ],
)
def test_purpose_is_the_first_sentence(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert purpose(tmp_path / "a.yaml") == expected
