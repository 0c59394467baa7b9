"""What is wrong with an encoder document is said in one line with its key."""

from pathlib import Path

import pytest

from raysearch.encoder.document import read_config
from raysearch.errors import InputError

GOOD = {
    "front_end": "{kind: logmel}",
    "width": "32",
    "blocks": "{count: 2, heads: 2, head_width: 16, ffn: 64}",
}


def written(folder: Path, **changes: str) -> Path:
    file = folder / "encoder.yaml"
    file.write_text("".join(f"{key}: {value}\n" for key, value in (GOOD | changes).items()))
    return file


def test_read_config_fills_in_defaults(tmp_path: Path) -> None:
    config = read_config(written(tmp_path))
    assert (config.depth, config.frame_hz, config.position_conv.kernel) == (2, 25.0, 128)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"widht": "3"}, "widht: unknown key"),
        ({"width": "wide"}, "width: 'wide'; expected a valid integer"),
        ({"width": "40"}, "width: 40; expected a multiple of position_conv.groups = 16"),
        ({"front_end": "{kind: logmel, kernels: [4, 5]}"}, "kernels: [4, 5]; expected odd kernels"),
        ({"front_end": "{kind: mfcc}"}, "front_end.kind: 'mfcc'; expected one of"),
        (
            {"width": "["},
            "line 4: not YAML (while parsing a flow sequence, expected ',' or ']', but got",
        ),
        ({"width": "3\nwidth: 4"}, "width: twice; expected each key once"),
        ({"width": "100000"}, "width: 100000; expected less than or equal to 65536"),
        ({"blocks": "{count: 10000000, heads: 2, head_width: 8, ffn: 32}"}, "blocks.count: 10000000; expected less"),
    ],
)
def test_read_config_names_the_key(changes: dict[str, str], expected: str, tmp_path: Path) -> None:
    file = written(tmp_path, **changes)
    with pytest.raises(InputError) as caught:
        read_config(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_read_config_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.yaml: No such file"):
        read_config(tmp_path / "absent.yaml")
