import pytest
import torch
from torch import nn

from raysearch.encoder.config import Blocks, EncoderConfig, LogMel, PositionConv
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.frames import frames
from raysearch.tasks.settings import BackendSettings
from raysearch.tasks.speaker.backend import Ecapa, SpeakerBackend, _moments
from raysearch.tasks.speaker.backend_cost import backend_macs, backend_params, fewest_samples, shortest

CONFIG = EncoderConfig(
    front_end=LogMel(channels=[8, 8]),
    width=16,
    position_conv=PositionConv(kernel=3),
    blocks=Blocks(count=2, heads=2, head_width=8, ffn=16),
)
KINDS = [
    BackendSettings(kind="linear", embedding=12),
    BackendSettings(kind="linear", embedding=12, layers="sum"),
    BackendSettings(channels=16, embedding=12),
    BackendSettings(channels=64, layers="sum"),
    BackendSettings(kind="xvector", channels=16, embedding=12, layers="sum"),
]
named = pytest.mark.parametrize("settings", KINDS, ids=lambda s: f"{s.kind}-{s.layers}")


@pytest.mark.parametrize(("channels", "count"), [(512, 9_394_816), (1024, 20_277_824)])
def test_ecapa_on_1024_inputs_has_the_published_parameters(channels, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in Ecapa(1024, channels, 192).parameters()) == count
    teacher = CONFIG.model_copy(update={"width": 1024})
    assert backend_params(BackendSettings(channels=channels), teacher) == count


@named
def test_cost_is_what_is_executed(settings):
    backend = SpeakerBackend(settings, CONFIG.width, CONFIG.depth + 1).eval()
    assert backend_params(settings, CONFIG) == sum(p.numel() for p in backend.parameters())
    counted = []

    def count(module, inputs, output):
        weights = module.weight[0].numel()
        counted.append(output.numel() * weights)

    for module in backend.modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            module.register_forward_hook(count)
    for samples in (16_000, 23_456):
        counted.clear()
        backend.of_frames(torch.zeros(1, frames(CONFIG, samples), CONFIG.width))
        assert sum(counted) == backend_macs(settings, CONFIG, samples)
    assert backend_macs(settings, CONFIG, [16_000, 100]) == backend_macs(settings, CONFIG, 16_000)


@named
def test_embeddings_of_a_batch_are_those_of_each_alone(settings):
    torch.manual_seed(0)
    encoder = Encoder(CONFIG).eval()
    backend = SpeakerBackend(settings, CONFIG.width, CONFIG.depth + 1).eval()
    audio, samples = 0.1 * torch.randn(3, 16_000), torch.tensor([16_000] * 3)
    with torch.no_grad():
        together = backend(encoder(audio, samples))
        alone = torch.cat([backend(encoder(row[None], samples[:1])) for row in audio])
    assert together.shape == (3, settings.embedding)
    assert together.numpy() == pytest.approx(alone.numpy(), abs=1e-5)


def test_x_vector_in_training_goes_one_layer_further_and_needs_fifteen_frames():
    torch.manual_seed(0)
    settings = BackendSettings(kind="xvector", channels=16, embedding=12)
    backend, x_BTD = SpeakerBackend(settings, 16, 1), torch.randn(2, 15, 16)
    trained_BE = backend.of_frames(x_BTD)
    shipped_BE = backend.eval().of_frames(x_BTD)
    torch.testing.assert_close(trained_BE, backend.body.train_only(shipped_BE).relu())
    assert shortest(settings) == 15
    assert shortest(BackendSettings()) == 1
    samples = fewest_samples(CONFIG, 15)
    assert frames(CONFIG, samples) == 15
    assert frames(CONFIG, samples - 1) == 14


@pytest.mark.parametrize("kind", ["ecapa", "xvector"])
def test_silence_has_a_finite_gradient(kind):
    backend = SpeakerBackend(BackendSettings(kind=kind, channels=16), 16, 1)
    x_BTD = torch.zeros(2, 20, 16, requires_grad=True)
    backend.of_frames(x_BTD).sum().backward()
    assert torch.isfinite(x_BTD.grad).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_moments_in_bf16_of_a_mean_far_above_the_deviation_then_as_in_fp64(weighted):
    torch.manual_seed(0)
    # Half precision keeps the values to 0.4 %; here they are multiples of 1/8, which it holds exactly.
    x_BCT = (torch.randint(-8, 9, (2, 4, 50)) / 8 + 15).bfloat16()
    weights_BCT = torch.rand(2, 4, 50).softmax(-1) if weighted else torch.full((2, 4, 50), 1 / 50)
    mean_BC, std_BC = _moments(x_BCT, weights_BCT if weighted else None)
    x_BCT, weights_BCT = x_BCT.double(), weights_BCT.double()
    expected_BC = (x_BCT * weights_BCT).sum(-1)
    torch.testing.assert_close(mean_BC.double(), expected_BC, rtol=1e-5, atol=0)
    deviation_BC = ((x_BCT - expected_BC[..., None]).square() * weights_BCT).sum(-1).sqrt()
    torch.testing.assert_close(std_BC.double(), deviation_BC, rtol=1e-4, atol=0)
