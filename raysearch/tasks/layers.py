"""What a head reads: the LayerNormed hidden states of an encoder, or its output, cut by cut and without padding.

Shapes: L layers (the front end's output and each block's), B cuts, S samples, T frames, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from shutil import disk_usage
from tempfile import TemporaryFile, gettempdir

import numpy as np
import torch
from lhotse.cut import MonoCut
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.corpora.batches import AudioStore, Batch, evaluation_batches
from raysearch.encoder.config import AnyConfig
from raysearch.encoder.encoder import Encoded, Encoder
from raysearch.encoder.frames import frames
from raysearch.encoder.gates import GatedEncoder
from raysearch.tasks.ctc.tokens import OutputHead
from raysearch.training.monitoring.progress import counted
from raysearch.training.precision import autocast

MEMORY_BYTES, FILE_BYTES = 1 << 30, 16 << 30
"""Hidden states of a split are kept in memory up to the first size, and in a file up to the second if that takes at
most half of the free disk. Above that they are computed anew for each batch."""
ENCODE_BATCH_S = 60.0
"""Seconds of audio that pass the encoder at once where no gradients are needed."""

States = Callable[[Encoder | GatedEncoder, Tensor, Tensor], list[Tensor]]
"""Function from an encoder, audio and its lengths in samples to one `x_LTD` for each row, which heads read."""


def states_for(head: nn.Module) -> States:
    """The function that gives what this head reads."""
    return output_layer if isinstance(head, OutputHead) else normalised_layers


def hidden_layers(encoder: Encoder, batch: Batch, device: torch.device) -> list[Tensor]:
    """One `x_LTD` for each cut, in which each frame has mean 0 and variance 1. Gradients reach the encoder."""
    return normalised_layers(encoder, batch.audio_BS.to(device), batch.samples_B.to(device))


def normalised_layers(encoder: Encoder | GatedEncoder, audio_BS: Tensor, samples_B: Tensor) -> list[Tensor]:
    """The same as `hidden_layers`, from audio that is on the encoder's device."""
    encoded = encoder(audio_BS, samples_B)
    x_LBTD = torch.stack(encoded.hidden).float()
    x_LBTD = F.layer_norm(x_LBTD, x_LBTD.shape[-1:])
    return [x_LBTD[:, i, :n] for i, n in enumerate(encoded.frames_B.tolist())]


def output_layer(encoder: Encoder | GatedEncoder, audio_BS: Tensor, samples_B: Tensor) -> list[Tensor]:
    """The encoder's output as the one layer of an `x_LTD` for each row. Gradients reach the encoder."""
    return output_rows(encoder(audio_BS, samples_B))


def output_rows(encoded: Encoded) -> list[Tensor]:
    """The output of a batch that was encoded, as `output_layer` gives it."""
    output_BTD = encoded.output_BTD.float()
    return [output_BTD[None, i, :n] for i, n in enumerate(encoded.frames_B.tolist())]


@contextmanager
def at_rest(module: nn.Module) -> Iterator[None]:
    """Inside, the module is in eval mode and no gradients are taken. Afterwards it has its own mode again."""
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(training)


def encode(
    encoder: Encoder,
    cuts: Sequence[MonoCut],
    store: AudioStore,
    device: torch.device,
    precision: str = "fp32",
    states: States = normalised_layers,
) -> Iterator[tuple[MonoCut, Tensor]]:
    """Each cut with its `x_LTD`, in the order that pads least.

    The hidden states are in half precision, which does for values near 1.
    """
    for batch in evaluation_batches(cuts, store, ENCODE_BATCH_S):
        with at_rest(encoder), autocast(device, precision):
            layers = states(encoder, batch.audio_BS.to(device), batch.samples_B.to(device))
        for cut, x_LTD in zip(batch.cuts, layers, strict=True):
            yield cut, x_LTD.half()


class FrozenLayers:
    """The hidden states of an encoder that does not change. They are looked up by cut."""

    def __init__(
        self,
        encoder: Encoder,
        cuts: Sequence[MonoCut],
        store: AudioStore,
        device: torch.device,
        precision: str = "fp32",
        *,
        memory_bytes: int = MEMORY_BYTES,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        self._encode = partial(encode, encoder, store=store, device=device, precision=precision)
        self._device = device
        self._kept: dict[str, Tensor] = {}
        size = sum(states_bytes(encoder.config, cut.num_samples) for cut in cuts)
        in_memory = size <= memory_bytes
        if in_memory or size <= min(file_bytes, disk_usage(gettempdir()).free // 2):
            # A device has less memory than its host, and the student needs it.
            encoded = ((cut.id, x_LTD.cpu()) for cut, x_LTD in counted(self._encode(cuts), "encoding", len(cuts)))
            self._kept = dict(encoded) if in_memory else _in_a_file(encoded)

    def of(self, cuts: Sequence[MonoCut]) -> list[Tensor]:
        """One `x_LTD` for each cut, in the order of the cuts."""
        found = self._kept
        if not found:
            found = {cut.id: x_LTD for cut, x_LTD in self._encode(cuts)}
        return [found[cut.id].to(self._device).float() for cut in cuts]


def _in_a_file(encoded: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """The same states by cut, in a file that nobody else sees and that is gone once they are."""
    places: dict[str, tuple[int, torch.Size]] = {}
    with TemporaryFile() as file:
        for name, x_LTD in encoded:
            places[name] = file.tell() // x_LTD.element_size(), x_LTD.shape
            file.write(x_LTD.contiguous().numpy().data)
        file.flush()
        # Copied on writing: torch takes no array that may not be written.
        mapped = torch.from_numpy(np.memmap(file, dtype=np.float16, mode="c"))
    return {name: mapped[at : at + shape.numel()].view(shape) for name, (at, shape) in places.items()}


def states_bytes(config: AnyConfig, samples: int) -> int:
    """Bytes of all hidden states of so many samples, in half precision."""
    return 2 * frames(config, samples) * config.width * (config.depth + 1)
