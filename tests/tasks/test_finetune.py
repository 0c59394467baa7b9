"""Fine-tuning a small encoder: what moves, what stays, and that each way to disturb it reaches its loss."""

import pytest
import torch

from raysearch.encoder.encoder import Encoder
from raysearch.methods.settings import StudentSettings
from raysearch.tasks.ctc.recognition import CtcLearner
from raysearch.tasks.ctc.tokens import Tokens
from raysearch.tasks.finetune import finetune
from raysearch.tasks.settings import PhonemesSettings

CPU = torch.device("cpu")


@pytest.fixture
def student():
    torch.manual_seed(0)
    config = StudentSettings(depth=2, width=16, heads=2, channels=8, position_kernel=3).encoder()
    return Encoder(config).eval()


@pytest.fixture
def tuned(student, corpus):
    cuts = list(corpus.splits["train"])

    def run(**changes):
        settings = PhonemesSettings(mode="finetune", updates=4, batch_s=2.0, **changes)
        learner = CtcLearner(Tokens.from_cuts(cuts, "phones"), cuts)
        return finetune(student, cuts, learner, settings, corpus.audio, CPU, seed=0)

    return run


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_frozen_encoder_stays_as_it_is_while_the_head_learns(student, tuned):
    frozen, late, free = tuned(frozen=1.0), tuned(frozen=0.5), tuned()
    assert same(frozen.encoder, student)
    (head,), (untouched,) = frozen.heads.values(), tuned(frozen=1.0, head_lr=1e-9).heads.values()
    assert not same(head, untouched)
    assert not same(late.encoder, student)
    assert not same(late.encoder, free.encoder)


@pytest.mark.parametrize("changes", [{"dropout": 0.5}, {"layer_drop": 0.5}, {"mask_time": 0.5}, {"mask_channels": 0.5}])
def test_disturbance_changes_what_is_learned_and_ends_with_it(tuned, changes):
    found = tuned(**changes)
    assert not same(found.encoder, tuned().encoder)
    assert same(found.encoder, tuned(**changes).encoder)
    assert not any(module._forward_hooks for module in found.encoder.modules())
    assert not any(module.p for module in found.encoder.modules() if isinstance(module, torch.nn.Dropout))
