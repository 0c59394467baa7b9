"""The document of a sub-network's slice, what is refused, and LightHuBERT's small as a part of its supernet."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from raysearch.encoder.config import Blocks, ConvConfig, EncoderConfig, Waveform
from raysearch.encoder.cost import macs_superb, params
from raysearch.encoder.document import read_config
from raysearch.encoder.supernet.sub_network import SubNetwork, sub_config, whole, width_pieces
from raysearch.errors import InputError
from tests.encoder.small_encoders import small, thin

ROOT = Path(__file__).parents[3]

SUB = SubNetwork(blocks=(1,), width=8, heads=(2,), ffn=(4,), channels=(3, 5))


def test_document_of_a_slice_then_the_encoders_with_other_numbers() -> None:
    document = sub_config(small(), SUB)
    front_end = small().front_end.model_copy(update={"channels": [3, 5]})
    block = small().block_list[1].model_copy(update={"heads": 2, "ffn": 4})
    assert document == small().model_copy(update={"width": 8, "front_end": front_end, "blocks": [block]})


def test_whisper_then_its_last_convolution_is_as_wide_as_the_transformer() -> None:
    document = sub_config(small("whisper"), replace(SUB, channels=(3,), width=6))
    assert document.front_end.channels == [3, 6]
    assert EncoderConfig.model_validate(document.model_dump()) == document


@pytest.mark.parametrize(
    ("config", "pieces"),
    [
        (small(), 4),
        (small("whisper"), 2),
        (small("whisper").model_copy(update={"sinusoids": None}), 1),
        # 16 groups of 48 channels, and 12 heads whose position gates read 64 each.
        (
            EncoderConfig(
                front_end=Waveform(),
                width=768,
                relative_positions={"heads": 12},
                blocks=Blocks(count=12, heads=12, head_width=64, ffn=3072),
            ),
            48,
        ),
    ],
)
def test_pieces_of_the_width_then_groups_heads_and_halves_each_lose_the_same(
    config: EncoderConfig, pieces: int
) -> None:
    assert width_pieces(config) == pieces


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"blocks": ()}, "blocks: none; expected one or more of 0 to 1, ascending"),
        ({"blocks": (1, 0)}, "blocks: 1, 0; expected one or more of 0 to 1, ascending"),
        ({"blocks": (1, 1)}, "blocks: 1, 1; expected one or more of 0 to 1, ascending"),
        ({"blocks": (2,)}, "blocks: 2; expected one or more of 0 to 1, ascending"),
        ({"blocks": (-1,)}, "blocks: -1; expected one or more of 0 to 1, ascending"),
        ({"width": 6}, "width: 6; expected a multiple of 4 from 4 to 16"),
        ({"width": 0}, "width: 0; expected a multiple of 4 from 4 to 16"),
        ({"width": 20}, "width: 20; expected a multiple of 4 from 4 to 16"),
        ({"heads": (2, 2)}, "heads: 2, 2; expected 1 number, one for each block"),
        ({"heads": (4,)}, "heads[0]: 4; expected 0 to 3"),
        ({"ffn": (-1,)}, "ffn[0]: -1; expected 0 to 10"),
        ({"channels": (3,)}, "channels: 3; expected 2 numbers, one for each convolution"),
        ({"channels": (8, 0)}, "channels[1]: 0; expected 1 to 12"),
    ],
)
def test_part_that_the_encoder_has_not_then_one_line_says_so(change: dict, line: str) -> None:
    with pytest.raises(InputError) as err:
        sub_config(small(), replace(SUB, **change))
    assert str(err.value) == f"sub-network: {line}"


@pytest.mark.parametrize("ask", [whole, lambda config: sub_config(config, SUB)])
def test_encoder_without_a_transformer_then_refused(ask) -> None:
    with pytest.raises(InputError, match=r"^encoder: kind: conv; expected one with a transformer"):
        ask(ConvConfig())


@pytest.mark.parametrize("ask", [whole, lambda config: sub_config(config, SUB)])
def test_encoder_whose_blocks_share_maps_then_refused(ask) -> None:
    with pytest.raises(InputError, match=r"^encoder: blocks that reuse attention maps; expected none"):
        ask(thin())


def test_lighthuberts_small_then_a_part_of_its_supernet_at_the_printed_cost() -> None:
    """Its supernet is 512 wide, with 8 heads and a feed-forward ratio of 4, and its small is 384 wide with 6 heads.

    Printed (table `result_star` of sungnyun/ARMHuBERT) are 860.7 G and 27.00 M, 0.4 and 0.5 % more than the closed form
    counts. SUPERB's profiler, whose figures are printed, also counts norms and activations. For HuBERT Base, whose
    front end is the same, it counts 149.26 + 261.28 + 422.37 + 836.25 G, 3.7 G more than the closed form. With these
    3.7 G the small is the printed one to 0.1 %. What parameters are printed beside the encoder's is not known.
    """
    blocks = Blocks(count=12, heads=8, head_width=64, ffn=2048)
    supernet = EncoderConfig(front_end=Waveform(), width=512, blocks=blocks)
    small_one = SubNetwork(tuple(range(12)), width=384, heads=(6,) * 12, ffn=(1536,) * 12, channels=(512,) * 7)
    document = sub_config(supernet, small_one)
    found_g = macs_superb(document) / 1e9
    assert found_g == pytest.approx(860.7, rel=5e-3)
    base_g = macs_superb(read_config(ROOT / "encoders/hubert-base.yaml")) / 1e9
    uncounted_g = 149.26 + 261.28 + 422.37 + 836.25 - base_g
    assert found_g + uncounted_g == pytest.approx(860.7, rel=1e-3)
    assert params(document) == 26_872_960 == pytest.approx(27.00e6, rel=5e-3)
    assert document.block_list == read_config(ROOT / "encoders/hubert-12x384.yaml").block_list


def test_cost_of_a_sub_network_is_known_without_torch() -> None:
    code = "import sys, raysearch.encoder.supernet.sub_network; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
