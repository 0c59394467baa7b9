"""The encoder: audio in, hidden states out. It knows nothing of losses, of pre-training masks or of how it was made.

Shapes: B batch, S samples, L layers, T frames, D width, M mel bins, K keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.encoder.config import SAMPLE_RATE_HZ, EncoderConfig
from raysearch.encoder.filterbanks.log_mel import LogMelFilterbank
from raysearch.encoder.frames import Count, block_frames, feature_frames, frames, is_too_long, mel_frames, valid_mask
from raysearch.encoder.front_end import build_front_end
from raysearch.encoder.relative_positions import RelativePositions
from raysearch.encoder.transformer import AttentionKind, PositionConv, TimeReduction, TransformerBlock, sinusoids
from raysearch.errors import InputError


class Encoded(NamedTuple):
    """The output of an encoder for a batch. In each row, frames from number `frames_B` on are meaningless padding."""

    output_BTD: Tensor
    """The last hidden state. With `norm: pre` the final LayerNorm has been applied to it."""
    hidden: tuple[Tensor, ...]
    """Hidden states, (B, T, D) each: [0] enters the first block, [i] leaves block i, counted from 1."""
    frames_B: Tensor
    """Number of valid frames in each row, int64."""

    @property
    def valid_BT(self) -> Tensor:
        """Mask of booleans, True where a frame is valid."""
        return valid_mask(self.frames_B, self.output_BTD.shape[1])

    @property
    def normalised_LBTD(self) -> Tensor:
        """All hidden states, each frame of each brought to mean 0 and variance 1."""
        hidden_LBTD = torch.stack(self.hidden)
        return F.layer_norm(hidden_LBTD, hidden_LBTD.shape[-1:])


class Encoder(nn.Module):
    """Front end, projection, positions, transformer: all that the config says, and nothing else.

    Weights start as in HuBERT: convolutions after Kaiming, the blocks' linear layers from N(0, 0.02^2) with biases of
    zero, and the projection as torch starts a linear layer. Whatever the width of the front end, a projected feature
    then has a root mean square of 0.58. So has the vector that stands for masked frames, drawn evenly from 0 to 1.
    Source: Hsu et al., HuBERT, 2021; sizes as in fairseq's and torchaudio's models.
    """

    sinusoids_TD: Tensor

    def __init__(self, config: EncoderConfig, *, dropout: float = 0.0, attention: AttentionKind = "fused") -> None:
        super().__init__()
        self.config = config
        self.front_end = build_front_end(config.front_end)
        channels = config.front_end.channels[-1]
        if config.norms_features:
            self.feature_norm = nn.LayerNorm(channels)
        if config.projects:
            self.projection = nn.Linear(channels, config.width)
        if config.position_conv:
            self.position_conv = PositionConv(config.width, config.position_conv)
        if config.sinusoids:
            # A buffer, since nothing trains them. Checkpoints hold them as they were rounded when Whisper was saved.
            self.register_buffer("sinusoids_TD", sinusoids(config.sinusoids, config.width))
        self.norm = nn.LayerNorm(config.width)
        if config.relative_positions:
            self.relative_positions = RelativePositions(config.relative_positions)
        if config.time_reduction:
            self.time_reduction = TimeReduction(config.width, config.time_reduction)
        reused = [*(block.reuses_map for block in config.block_list[1:]), False]
        self.blocks = nn.ModuleList(
            TransformerBlock(config, block, dropout, attention, shares)
            for block, shares in zip(config.block_list, reused, strict=True)
        )

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> Encoded:
        """The hidden states of a batch.

        `audio_BS` is audio at 16 kHz in [-1, 1], at least one frame long. A log-mel front end also takes its bins in
        place of audio, (B, T, M), not normalised. `samples_B` is the number of valid samples in each row.
        """
        return self.encode(*self.features(audio_BS, samples_B))

    def features(self, audio_BS: Tensor, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """The transformer's features (B, T, D), without positions, and the number of valid frames of the front end (B).

        Raises: InputError if the batch is longer than the encoder's sinusoids.
        """
        samples_B = samples_B.to(audio_BS.device, torch.int64)
        # A compiled or exported graph may not branch on lengths. It fails by itself at one that is too long.
        if not torch.compiler.is_compiling() and is_too_long(self.config, audio_BS.shape[1]):
            got_s, expected_s = audio_BS.shape[1] / SAMPLE_RATE_HZ, self.config.longest_s
            raise InputError(
                f"a recording of {got_s:.1f} s; expected at most {expected_s:g} s: Whisper heard no longer"
            )
        x_BTC = self.front_end(audio_BS, samples_B)
        if self.config.norms_features:
            x_BTC = self.feature_norm(x_BTC)
        if self.config.projects:
            x_BTC = self.projection(x_BTC)
        return x_BTC, feature_frames(self.config, samples_B)

    def encode(self, x_BTD: Tensor, frames_B: Tensor, plain: int = 0) -> Encoded:
        """Zeroes the padding, adds positions, and runs the blocks.

        `frames_B` are the valid frames of the front end. The first `plain` rows take the route without adapters.
        """
        valid_BT = valid_mask(frames_B, x_BTD.shape[1])
        x_BTD = x_BTD.masked_fill(~valid_BT[:, :, None], 0.0)
        if self.config.position_conv:
            x_BTD = x_BTD + self.position_conv(x_BTD)
        if self.config.sinusoids:
            x_BTD = x_BTD + self.sinusoids_TD[: x_BTD.shape[1]]
        if self.config.norm == "post":
            x_BTD = self.norm(x_BTD)
        reduction = self.config.time_reduction
        if reduction:
            x_BTD, frames_B = self.time_reduction(x_BTD), block_frames(self.config, frames_B)
            valid_BT = valid_mask(frames_B, x_BTD.shape[1])
        mask_B11K = _attention_mask(valid_BT)
        positions_NTK = self.relative_positions(x_BTD.shape[1]) if self.config.relative_positions else None
        hidden, map_BNTK = [x_BTD], None
        for block in self.blocks:
            x_BTD, map_BNTK = block(x_BTD, mask_B11K, positions_NTK, plain, map_BNTK)
            hidden.append(x_BTD)
        if reduction and reduction.repeated:
            # An exported graph knows the number of frames that an index has, and not that of a tensor that is repeated.
            source_T = torch.arange(x_BTD.shape[1] * reduction.factor, device=x_BTD.device) // reduction.factor
            hidden = [x_BTD[:, source_T] for x_BTD in hidden]
            frames_B = frames_B * reduction.factor
        output_BTD = self.norm(hidden[-1]) if self.config.norm == "pre" else hidden[-1]
        return Encoded(output_BTD, tuple(hidden), frames_B)

    def routes(self, audio_BS: Tensor, samples_B: Tensor) -> tuple[Encoded, Encoded]:
        """The outputs of the route without adapters and of the route with them, in one pass over the blocks.

        Front end and projection have no adapters, so both routes share them.
        """
        x_BTD, frames_B = self.features(audio_BS, samples_B)
        rows = len(x_BTD)
        both = self.encode(x_BTD.repeat(2, 1, 1), frames_B.repeat(2), plain=rows)
        plain, adapted = zip(*(x_BTD.split(rows) for x_BTD in both.hidden), strict=True)
        outputs = both.output_BTD.split(rows)
        plain_B, adapted_B = both.frames_B.split(rows)
        return Encoded(outputs[0], plain, plain_B), Encoded(outputs[1], adapted, adapted_B)

    def frames(self, samples: Count) -> Count:
        """The exact number of frames that the encoder makes of so many samples."""
        return frames(self.config, samples)


def _attention_mask(valid_BT: Tensor) -> Tensor | None:
    # Attention is faster without a mask. A compiled or exported graph may not branch on values, so it always has one.
    if not torch.compiler.is_compiling() and bool(valid_BT.all()):
        return None
    # Softmax over no keys at all is NaN, so a row without a valid frame attends to its first frame.
    first_T = torch.arange(valid_BT.shape[1], device=valid_BT.device) == 0
    return (valid_BT | first_T)[:, None, None]


@torch.no_grad()
def fit_normalisation(encoder: Encoder, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Sets the mean and deviation of a log-mel front end to those of all valid frames in `batches`.

    `batches` are pairs `(audio_BS, samples_B)`. Other front ends have neither, so nothing is read then.
    """
    log_mel = getattr(encoder.front_end, "log_mel", None)
    if not isinstance(log_mel, LogMelFilterbank):
        return
    device = log_mel.mean_M.device
    count = 0
    # In double precision: the variance is a difference of two large numbers.
    sum_M, squares_M = torch.zeros(2, len(log_mel.mean_M), dtype=torch.float64, device=device)
    for audio_BS, samples_B in batches:
        frames_B = mel_frames(samples_B.to(device))
        x_BTM = log_mel.levels(audio_BS.to(device), frames_B).double()
        x_XM = x_BTM[valid_mask(frames_B, x_BTM.shape[1])]
        count += len(x_XM)
        sum_M += x_XM.sum(0)
        squares_M += x_XM.square().sum(0)
    assert count, "no valid frame in any batch"
    mean_M = sum_M / count
    log_mel.set_normalisation(mean_M, (squares_M / count - mean_M.square()).clamp(min=0).sqrt())
