"""Cost against published figures, and against what small encoders really execute."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchaudio
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.cost import SUPERB_SAMPLES, Sizes, macs, macs_superb, param_parts, params, parts, sizes_of
from raysearch.encoder.document import read_config
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.imports.torchaudio import config_of
from raysearch.encoder.published import PUBLISHED
from raysearch.tasks.settings import BackendSettings
from raysearch.tasks.speaker.backend_cost import backend_params
from tests.encoder.small_encoders import encoder_configs, small

DOCUMENTS = Path(__file__).parents[2] / "encoders"

# GMACs of the 32 utterances without the position convolution's trimmed frame, their tolerance, and parameters.
FIXED_POINTS = {
    "hubert-base": (1665.4, 2e-4, 94_370_944),
    "hubert-12x384": (857.0, 2e-4, 26_872_960),
    "distilhubert-2x768": (785.3, 2e-4, 23_492_224),
    "hubert-3x768": (873.3, 2e-4, 30_580_096),
    "fasthubert-12x768": (551, 1e-3, 93_203_584),
    "fasthubert-12x384": (159.2, 1e-3, 25_705_600),
}


def document(name: str) -> EncoderConfig:
    return read_config(DOCUMENTS / f"{name}.yaml")


def test_every_document_is_a_fixed_point() -> None:
    assert {file.stem for file in DOCUMENTS.glob("*.yaml")} == FIXED_POINTS.keys() | {
        *("xlsr-53", "oskdft-4x1024", "audiontt-2048", "whisper-base"),
        # Beside print in test_published_costs.py.
        *("wavlm-base", "wavlm-large", "maskhubert", "starhubert", "starhubert-l"),
        *("armhubert", "armhubert-s", "fithubert"),
    }


@pytest.mark.parametrize("name", FIXED_POINTS)
def test_cost_at_fixed_points(name: str) -> None:
    gmacs, tolerance, parameters = FIXED_POINTS[name]
    config = document(name)
    assert macs_superb(config) / 1e9 == pytest.approx(gmacs, rel=tolerance)
    assert params(config) == parameters
    with torch.device("meta"):
        assert sum(p.numel() for p in Encoder(config).parameters()) == parameters


def test_macs_of_hubert_base_by_length_and_part() -> None:
    base = document("hubert-base")
    assert macs(base, 160_000) / 1e9 == pytest.approx(74.07, abs=0.005)
    shares = {part: 100 * count / macs(base, 160_000) for part, count in parts(base, 160_000).items()}
    expected = {"front_end": 33.1, "ffn": 38.1, "attention_linear": 19.1, "attention_matmul": 6.2, "position_conv": 3.2}
    assert {part: round(shares[part], 1) for part in expected} == expected


def test_macs_of_superb_buckets_are_within_half_a_percent_of_the_profiler() -> None:
    base = document("hubert-base")
    buckets = [sum(macs(base, n) for n in SUPERB_SAMPLES[i : i + 8]) / 1e9 for i in range(0, 32, 8)]
    assert buckets == pytest.approx([149.09, 260.93, 421.61, 833.73], rel=3e-4)
    assert buckets == pytest.approx([149.26, 261.28, 422.37, 836.25], rel=4e-3)
    assert sum(buckets) == pytest.approx(macs_superb(base) / 1e9)
    assert sum(SUPERB_SAMPLES) / 16_000 == pytest.approx(224.86)


def test_front_end_of_hubert_sets_a_floor() -> None:
    assert parts(document("hubert-base"), SUPERB_SAMPLES)["front_end"] == 551_755_743_232


def test_macs_of_fasthubert_at_width_256() -> None:
    thin = document("fasthubert-12x384").model_dump() | {"width": 256}
    thin["blocks"] |= {"heads": 4, "ffn": 1024}
    assert macs_superb(EncoderConfig.model_validate(thin)) / 1e9 == pytest.approx(85, rel=5e-3)


@settings(max_examples=50, deadline=None)
@given(config=encoder_configs(reused=True), samples=st.integers(400, 4000))
def test_cost_equals_what_is_executed(config: EncoderConfig, samples: int) -> None:
    encoder = Encoder(config, attention="explicit").requires_grad_(False)
    assert params(config) == sum(p.numel() for p in encoder.parameters())
    assume(encoder.frames(samples))
    with FlopCounterMode(display=False) as counter:
        encoder(torch.zeros(1, samples), torch.tensor([samples]))
    flops = {module: sum(by_op.values()) for module, by_op in counter.get_flop_counts().items()}
    uncounted = ("Encoder.front_end.log_mel", "Encoder.front_end.norms.0")
    executed = flops.get("Encoder", 0) - sum(flops.get(module, 0) for module in uncounted)
    assert 2 * macs(config, samples) == executed
    assert 2 * parts(config, samples)["position_conv"] == flops.get("Encoder.position_conv", 0)


def test_macs_when_audio_is_shorter_than_a_frame_is_zero() -> None:
    assert macs(document("fasthubert-12x384"), 399) == 0
    assert parts(document("hubert-base"), 399)["position_conv"] == 0


def test_parts_of_expected_sizes_are_differentiable() -> None:
    config = small("layer")
    sizes = Sizes(*(torch.tensor(counts, dtype=torch.float64, requires_grad=True) for counts in sizes_of(config)))
    expected = sum(parts(config, SUPERB_SAMPLES, sizes).values())
    assert expected.item() == macs_superb(config)
    expected.backward()
    # One FFN unit more costs a column and a row, whatever the others are.
    frames = sum(Encoder(config).frames(n) for n in SUPERB_SAMPLES)
    assert sizes.ffn.grad.tolist() == [2 * frames * 16] * 2


def test_cost_is_known_without_torch() -> None:
    code = "import sys, raysearch.encoder.cost, raysearch.encoder.document; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=DOCUMENTS.parent, check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_shape_is_the_bundles(name: str) -> None:
    with torch.device("meta"):
        model = torchaudio.models.wav2vec2_model(**getattr(torchaudio.pipelines, name)._params)
    shape = PUBLISHED[name]
    assert config_of(model).block_list == shape.block_list
    assert config_of(model).model_dump(exclude={"blocks"}) == shape.model_dump(exclude={"blocks"})


def test_oskdft_saves_what_is_published() -> None:
    teacher, student = document("xlsr-53"), document("oskdft-4x1024")
    # HF's count of XLSR-53, 315,438,720, has a mask embedding of 1,024 that verification never uses.
    assert params(teacher) == 315_438_720 - 1_024
    assert params(student) == 64_051_072 - 1_024
    assert param_parts(student)["adapters"] == 4 * 134_208
    assert macs(student, 64_000) / macs(teacher, 64_000) == pytest.approx(0.30, abs=0.002)
    backend = BackendSettings(channels=512)
    whole = params(student) + backend_params(backend, student), params(teacher) + backend_params(backend, teacher)
    assert 1 - whole[0] / whole[1] == pytest.approx(0.774, abs=5e-4)
