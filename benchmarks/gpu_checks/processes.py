"""A group of one process: NCCL on a GPU, gloo on a CPU. DDP in it gives the gradients that are found without it.

Shapes: B batch, S samples, T frames, D width.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from gpu_checks.check import Found, apart
from gpu_checks.device import Setting
from gpu_checks.encoders import kinds
from raysearch.encoder.encoder import Encoder

TOLERANCE = 1e-5
"""The same operations give the same, up to sums whose order a GPU does not promise."""


def check(setting: Setting, found: Found) -> None:
    # Two runs of a convolution may take kernels that round differently where 10 bits are allowed.
    torch.backends.cudnn.allow_tf32 = False
    backend = "nccl" if setting.on_gpu else "gloo"
    encoder = Encoder(kinds(tiny=True)["log-mel"]).to(setting.device)
    alone = _gradients(encoder, encoder, setting)
    with tempfile.TemporaryDirectory() as folder:
        distributed.init_process_group(backend, f"file://{Path(folder, 'group')}", rank=0, world_size=1)
        try:
            # As `training/trainer.py` wraps a module.
            ids = [setting.device] if setting.on_gpu else None
            together = _gradients(encoder, DistributedDataParallel(encoder, device_ids=ids), setting)
            total, errors = _exchanged(setting)
        finally:
            distributed.destroy_process_group()
    gap = apart(together, alone)
    found.row(backend, gradients_apart=gap, sum_of_three_ones=total, errors=errors)
    found.expect(gap < TOLERANCE, f"gradients are {gap:.2g} apart; expected under {TOLERANCE:g}")
    found.expect(total == 3, f"the sum of three ones is {total:g}")
    found.expect(errors == [{"eval/per": 5.0}], f"errors of all processes are {errors}; expected what was given")


def _exchanged(setting: Setting) -> tuple[float, list[object]]:
    """The sum over processes of a tensor with three ones, and the errors of all processes, as trials exchange them."""
    ones = torch.ones(3, device=setting.device)
    distributed.all_reduce(ones)
    errors: list[object] = [None]
    distributed.all_gather_object(errors, {"eval/per": 5.0})
    distributed.broadcast_object_list(errors)
    return float(ones.sum()), errors


def _gradients(encoder: Encoder, module: nn.Module, setting: Setting) -> Tensor:
    encoder.zero_grad()
    audio_BS = 0.1 * torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    output_BTD = module(audio_BS.to(setting.device), torch.tensor([16_000, 16_000])).output_BTD
    output_BTD[..., 0].sum().backward()
    return torch.cat([x.grad.flatten() for x in encoder.parameters() if x.grad is not None])
