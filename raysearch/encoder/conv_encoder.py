"""An encoder without a transformer: convolutions over a log-mel picture, then two linear layers.

Shapes: B batch, S samples, T frames, M mel bins, C channels, X values of all bins and channels, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.encoder.config import ConvConfig
from raysearch.encoder.cost import conv_features
from raysearch.encoder.encoder import Encoded, Encoder
from raysearch.encoder.frames import mel_frames, valid_mask
from raysearch.encoder.log_mel import LogMelFilterbank, centre


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
        self.norms = nn.ModuleList(FrameBatchNorm(o) for _, o in pairs)
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


class FrameBatchNorm(nn.BatchNorm1d):
    """Batch norm over channels whose statistics are those of the valid frames, or of all frames without a mask."""

    def forward(self, x_BCTM: Tensor, valid_BT: Tensor | None = None) -> Tensor:
        # In eval mode the running statistics are used, so padding cannot change the result and needs no mask.
        if valid_BT is None or not self.training or bool(valid_BT.all()):
            return F.batch_norm(
                x_BCTM,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                self.training,
                self.momentum or 0.0,
                self.eps,
            )
        normed_NCM = super().forward(x_BCTM.transpose(1, 2)[valid_BT])
        y_BTCM = torch.zeros_like(x_BCTM.transpose(1, 2), dtype=normed_NCM.dtype)
        y_BTCM[valid_BT] = normed_NCM
        return y_BTCM.transpose(1, 2)
