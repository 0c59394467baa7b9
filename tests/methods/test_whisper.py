"""Every method from a teacher that is a Whisper: it has no projection, sinusoids, and keys without bias."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raysearch.encoder.checkpoint import load_encoder
from raysearch.encoder.config import Blocks, EncoderConfig, Whisper
from raysearch.encoder.cost import macs_superb, params
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.teacher import Teacher
from raysearch.methods.table import METHODS, load_method
from raysearch.methods.trial import Trial
from raysearch.targets.pseudo_labels import PseudoLabels
from raysearch.training.recipe import not_evaluated
from tests.methods.test_contract import settings_of

WHISPER = EncoderConfig(
    front_end=Whisper(bins=20, channels=[16, 32]),
    width=32,
    norm="pre",
    position_conv=None,
    sinusoids=1500,
    key_bias=False,
    blocks=Blocks(count=3, heads=4, head_width=8, ffn=64),
)
STAYING = {"hjpruning", "dphubert", "oskdft", "kd-then-ft", "ft-only"}
"""Methods whose student is what is left of the teacher."""


@pytest.mark.parametrize("name", METHODS)
def test_method_trains_a_student_of_a_whisper(name: str, tones, tone_labels, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = Encoder(WHISPER).eval().requires_grad_(False)
    before = {key: tensor.clone() for key, tensor in encoder.state_dict().items()}
    method = load_method(name)
    trial = Trial(
        number=0,
        settings=settings_of(method),
        corpus=tones,
        teacher=Teacher(encoder, key="w"),
        label_set=tone_labels,
        evaluate=not_evaluated,
        rungs=(4,),
        folder=tmp_path,
        device=torch.device("cpu"),
        seed=5,
        pseudo_labels=lambda _: PseudoLabels(4, {cut.id: i % 4 for i, cut in enumerate(tones.splits["train"])}, {}),
    )
    *_, last = method().run(trial)
    assert last.final
    student, promised = load_encoder(tmp_path / "student"), method.student(trial.settings, WHISPER)
    measure = params if name == "dphubert" else macs_superb
    assert measure(student.config) == pytest.approx(measure(promised), rel=0.01)
    if name in STAYING:
        # The width stays, and so do the positions that are not trained.
        assert student.config.front_end.channels[-1] == 32
        assert torch.equal(student.sinusoids_TD, before["sinusoids_TD"])
    assert all(torch.equal(before[key], tensor) for key, tensor in encoder.state_dict().items())
