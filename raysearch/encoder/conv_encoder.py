"""An encoder without a transformer: convolutions over a log-mel picture, then two linear layers.

Shapes: B batch, S samples, T frames, M mel bins, C channels, X values of all bins and channels, D width. In a batch
norm X stands for all axes after the channels: none, frames, or frames and bins.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from raysearch.encoder.config import ConvConfig
from raysearch.encoder.cost import conv_features
from raysearch.encoder.encoder import Encoded, Encoder
from raysearch.encoder.filterbanks.log_mel import LogMelFilterbank, centre
from raysearch.encoder.frames import mel_frames, valid_mask


class ConvEncoder(Encoder):
    """AudioNTT: stages of convolution, batch norm, ReLU and pooling, then two linear layers with ReLU.

    Frames past an utterance's end are zeroed before every convolution, and the batch norms do not see them. So an
    utterance gives the same features alone as in a padded batch. The hidden states are the outputs of both linear
    layers. Source: Niizumi et al., BYOL-A, IJCNN 2021. UnFuSeD takes this encoder over and sets its dropout.
    """

    # This class is an Encoder for all who ask for hidden states only; it has none of the parts of a transformer. A
    # common base class would save these two lines, but every method that reads its teacher's blocks would then have to
    # check which kind of encoder it has.
    config: ConvConfig  # type: ignore[assignment]
    front_end: PictureFrontEnd  # type: ignore[assignment]

    def __init__(self, config: ConvConfig, *, dropout: float = 0.0) -> None:
        # The parent's own constructor would build a transformer.
        nn.Module.__init__(self)
        self.config = config
        self.front_end = PictureFrontEnd(config)
        self.projection = nn.Linear(conv_features(config), config.width)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(config.width, config.width)

    def stages(self, audio_BS: Tensor, samples_B: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The output of each stage (B, T, X), each with the number of valid frames of every row (B)."""
        found: list[tuple[Tensor, Tensor]] = self.front_end(audio_BS, samples_B)
        return found

    def features(self, audio_BS: Tensor, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """The first hidden state (B, T, D), and the number of valid frames of every row (B)."""
        return self.project(*self.stages(audio_BS, samples_B)[-1])

    def project(self, x_BTX: Tensor, frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """The first hidden state (B, T, D), computed from the output of the last stage."""
        return F.relu(self.projection(x_BTX)), frames_B

    def encode(self, x_BTD: Tensor, frames_B: Tensor, plain: int = 0) -> Encoded:
        """Both hidden states. `plain` means nothing here, because this encoder has no adapters."""
        y_BTD = F.relu(self.linear(self.dropout(x_BTD)))
        return Encoded(y_BTD, (x_BTD, y_BTD), frames_B)


class PictureFrontEnd(nn.Module):
    """Stages of convolutions over log-mel bins, which are taken as a picture of one channel."""

    def __init__(self, config: ConvConfig) -> None:
        super().__init__()
        self.config = config
        self.log_mel = LogMelFilterbank(config.bins, config.range_db)
        pairs = list(zip([1, *config.channels[:-1]], config.channels, strict=True))
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in pairs)
        self.norms = nn.ModuleList(BatchNorm(o) for _, o in pairs)
        for conv in self.convs:
            assert isinstance(conv, nn.Conv2d)
            assert conv.bias is not None
            nn.init.kaiming_normal_(conv.weight)
            nn.init.zeros_(conv.bias)

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The output of each stage (B, T, X), each with the number of valid frames of every row (B)."""
        frames_B = mel_frames(samples_B.to(audio_BS.device, torch.int64))
        x_BTM = self.log_mel(audio_BS, frames_B)
        x_BCTM = (centre(x_BTM, frames_B) if self.config.centred else x_BTM)[:, None]
        found = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            valid_BT = valid_mask(frames_B, x_BCTM.shape[2])
            x_BCTM = F.relu(norm(conv(x_BCTM * valid_BT[:, None, :, None]), valid_BT))
            x_BCTM, frames_B = F.max_pool2d(x_BCTM, 2), frames_B // 2
            found.append((x_BCTM.transpose(1, 2).flatten(2), frames_B))
        return found


class BatchNorm(nn.BatchNorm1d):
    """BatchNorm over channels whose statistics are those of the valid frames, or of all frames without a mask.

    Once it is `synchronised` they are those of all processes, which may have other numbers of rows and frames. torch's
    SyncBatchNorm knows no mask, and needs GPUs.
    """

    synchronised = False
    """Whether statistics are taken over all processes. All of them must then run each training pass."""

    def forward(self, x_BCX: Tensor, valid_BT: Tensor | None = None) -> Tensor:
        # In eval mode the running statistics are used, so padding cannot change the result and needs no mask.
        if not self.training or not (self.synchronised or (valid_BT is not None and not bool(valid_BT.all()))):
            momentum = self.momentum or 0.0
            weights = self.running_mean, self.running_var, self.weight, self.bias
            return F.batch_norm(x_BCX, *weights, self.training, momentum, self.eps)
        # Sums over many frames would lose digits in half precision.
        with torch.autocast(x_BCX.device.type, enabled=False):
            return self._normed(x_BCX.float(), _counted(x_BCX, valid_BT))

    def _normed(self, x_BCX: Tensor, counted_B1X: Tensor) -> Tensor:
        """The normed values, and zeros where nothing is counted. The running statistics follow."""
        axes = [0, *range(2, x_BCX.ndim)]
        sums_C = (x_BCX * counted_B1X).sum(axes)
        totals = self._total(torch.cat([sums_C, counted_B1X.sum()[None]]))
        count = totals[-1].detach().clamp(min=1)
        mean_C = totals[:-1] / count
        centred_BCX = (x_BCX - _beside(mean_C, x_BCX)) * counted_B1X
        variance_C = self._total(centred_BCX.square().sum(axes)) / count
        assert self.running_mean is not None
        assert self.running_var is not None
        with torch.no_grad():
            self.running_mean.lerp_(mean_C, self.momentum or 0.0)
            # The running variance is the unbiased one, as in torch's BatchNorm.
            self.running_var.lerp_(variance_C * count / (count - 1).clamp(min=1), self.momentum or 0.0)
        normed_BCX = centred_BCX * _beside(torch.rsqrt(variance_C + self.eps), x_BCX)
        return (normed_BCX * _beside(self.weight, x_BCX) + _beside(self.bias, x_BCX)) * counted_B1X

    def _total(self, sums_C: Tensor) -> Tensor:
        return _Sum.apply(sums_C) if self.synchronised else sums_C


def _counted(x_BCX: Tensor, valid_BT: Tensor | None) -> Tensor:
    """1 for each value that counts in the statistics of its channel, and 0 for padding (B, 1, X)."""
    ones_B1X = torch.ones_like(x_BCX[:, :1], dtype=torch.float32)
    if valid_BT is None:
        return ones_B1X
    return ones_B1X * valid_BT.view(len(valid_BT), 1, -1, *[1] * (x_BCX.ndim - 3))


def _beside(x_C: Tensor, like_BCX: Tensor) -> Tensor:
    return x_C.view(1, -1, *[1] * (like_BCX.ndim - 2))


class _Sum(torch.autograd.Function):
    """The sum over all processes. Every process's loss depends on it, so gradients are summed on the way back, too."""

    @staticmethod
    def forward(ctx: Any, x_C: Tensor) -> Tensor:
        total_C = x_C.clone()
        distributed.all_reduce(total_C)
        return total_C

    @staticmethod
    def backward(ctx: Any, grad_C: Tensor) -> Tensor:
        return _Sum.forward(ctx, grad_C)
