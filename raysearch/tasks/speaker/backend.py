"""Back ends of speaker verification, which turn an encoder's frames into an embedding of who speaks.

A batch holds cuts or crops of one length, so its frames are never padded.

Shapes: B batch, T frames, D width of the encoder, L hidden states, C channels, E width of the embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.encoder.conv_encoder import BatchNorm
from raysearch.encoder.encoder import Encoded
from raysearch.tasks.settings import BackendSettings
from raysearch.tasks.speaker.backend_cost import (
    ATTENTION,
    BOTTLENECK,
    DILATIONS,
    KERNEL,
    POOLED,
    SCALE,
    XVECTOR,
    XVECTOR_POOLED,
)


class SpeakerBackend(nn.Module):
    """A back end that turns hidden states into embeddings (B, E). They are not scaled to length 1."""

    def __init__(self, settings: BackendSettings, width: int, hidden: int) -> None:
        """Builds the back end. `hidden` is the number of the encoder's hidden states, one more than it has blocks."""
        super().__init__()
        self.settings, self.width, self.hidden = settings, width, hidden
        if settings.layers == "sum":
            # Only here: a parameter that gets no gradient stops training on several processes.
            self.mix_L = nn.Parameter(torch.zeros(hidden))
        if settings.kind == "ecapa":
            self.body: nn.Module = Ecapa(width, settings.channels, settings.embedding)
        elif settings.kind == "xvector":
            self.body = XVector(width, settings.channels, settings.embedding)
        else:
            self.body = LinearBackend(width, settings.embedding)

    def forward(self, encoded: Encoded) -> Tensor:
        if self.settings.layers == "last":
            return self.of_frames(encoded.output_BTD)
        return self.of_layers(encoded.normalised_LBTD)

    def of_layers(self, x_LBTD: Tensor) -> Tensor:
        """The embeddings (B, E) from LayerNormed hidden states."""
        if self.settings.layers == "last":
            return self.of_frames(x_LBTD[-1])
        return self.of_frames(torch.einsum("l,lbtd->btd", self.mix_L.softmax(0), x_LBTD))

    def of_frames(self, x_BTD: Tensor) -> Tensor:
        """The embeddings (B, E) from the frames that the body reads."""
        embedding_BE: Tensor = self.body(x_BTD.transpose(1, 2))
        return embedding_BE


class LinearBackend(nn.Module):
    """Mean and deviation over time, a linear layer, and BatchNorm.

    Source: OS-KDFT's public code, its VoxCeleb1 variant.
    """

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width, embedding)
        self.norm = BatchNorm(embedding)

    def forward(self, x_BDT: Tensor) -> Tensor:
        return self.norm(self.linear(torch.cat(_moments(x_BDT), dim=1)))


class XVector(nn.Module):
    """SUPERB's x-vector: a linear layer, five layers over time, mean and deviation, and linear layers with ReLU.

    While it is trained there are two of the last, and afterwards the embedding is what the first of them gives. Cuts
    need one frame more than the layers over time take away, which is 15.
    Source: Snyder et al., ICASSP 2018, as s3prl's sv_voxceleb1 has it, without BatchNorm. Deviation: the deviation
    divides by the number of frames, not by one less.
    """

    def __init__(self, width: int, channels: int, embedding: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(width, channels, 1)
        outputs = [*[channels] * (len(XVECTOR) - 1), XVECTOR_POOLED]
        self.layers = nn.ModuleList(
            nn.Conv1d(channels, count, kernel, dilation=dilation)
            for (kernel, dilation), count in zip(XVECTOR, outputs, strict=True)
        )
        self.embed = nn.Linear(2 * XVECTOR_POOLED, embedding)
        self.train_only = nn.Linear(embedding, embedding)

    def forward(self, x_BDT: Tensor) -> Tensor:
        x_BCT = self.enter(x_BDT)
        for layer in self.layers:
            x_BCT = F.relu(layer(x_BCT))
        # Its activations are small at first. A higher floor would leave the deviations without a gradient.
        x_BE = F.relu(self.embed(torch.cat(_moments(x_BCT, floor=1e-10), dim=1)))
        return F.relu(self.train_only(x_BE)) if self.training else x_BE


class Ecapa(nn.Module):
    """ECAPA-TDNN: three convolutional blocks with squeeze and excitation, and attentive pooling over time.

    Source: Desplanques et al., Interspeech 2020. Convolution, ReLU and norm come in this order, as in its public
    reimplementations. The InstanceNorm in front is OS-KDFT's.
    """

    def __init__(self, width: int, channels: int, embedding: int) -> None:
        super().__init__()
        self.enter = TdnnLayer(width, channels, KERNEL)
        self.blocks = nn.ModuleList(SeRes2Block(channels, dilation) for dilation in DILATIONS)
        self.join = nn.Conv1d(len(DILATIONS) * channels, POOLED, 1)
        self.attention = nn.Sequential(
            nn.Conv1d(3 * POOLED, ATTENTION, 1),
            nn.ReLU(),
            BatchNorm(ATTENTION),
            nn.Tanh(),
            nn.Conv1d(ATTENTION, POOLED, 1),
        )
        self.pooled_norm = BatchNorm(2 * POOLED)
        self.linear = nn.Linear(2 * POOLED, embedding)
        self.norm = BatchNorm(embedding)

    def forward(self, x_BDT: Tensor) -> Tensor:
        x_BCT = self.enter(F.instance_norm(x_BDT))
        outputs: list[Tensor] = []
        for block in self.blocks:
            # Each block reads the sum of all outputs that came before it, as the paper has it.
            outputs.append(block(sum(outputs, x_BCT)))
        x_BCT = F.relu(self.join(torch.cat(outputs, dim=1)))
        mean_BC, std_BC = _moments(x_BCT)
        context_BCT = [x_BCT, *(moment_BC[..., None].expand_as(x_BCT) for moment_BC in (mean_BC, std_BC))]
        weights_BCT = self.attention(torch.cat(context_BCT, dim=1)).softmax(-1)
        pooled_BC = torch.cat(_moments(x_BCT, weights_BCT), dim=1)
        return self.norm(self.linear(self.pooled_norm(pooled_BC)))


class TdnnLayer(nn.Sequential):
    """A convolution over time, a ReLU and BatchNorm."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> None:
        conv = nn.Conv1d(inputs, outputs, kernel, dilation=dilation, padding=dilation * (kernel // 2))
        super().__init__(conv, nn.ReLU(), BatchNorm(outputs))


class SeRes2Block(nn.Module):
    """A block of ECAPA-TDNN: a Res2Net convolution, then squeeze and excitation.

    The channels come in eighths. To each but the first the convolved eighth before it is added; then it is convolved
    too, except for the last eighth, which passes unchanged.
    """

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.enter = TdnnLayer(channels, channels)
        part = channels // SCALE
        self.parts = nn.ModuleList(TdnnLayer(part, part, 3, dilation) for _ in range(SCALE - 1))
        self.leave = TdnnLayer(channels, channels)
        self.squeeze = nn.Linear(channels, BOTTLENECK)
        self.excite = nn.Linear(BOTTLENECK, channels)

    def forward(self, x_BCT: Tensor) -> Tensor:
        first, *rest = self.enter(x_BCT).chunk(SCALE, dim=1)
        done: list[Tensor] = []
        for layer, part in zip(self.parts, [first, *rest[:-1]], strict=True):
            done.append(layer(part + done[-1] if done else part))
        y_BCT = self.leave(torch.cat([*done, rest[-1]], dim=1))
        gate_BC = torch.sigmoid(self.excite(F.relu(self.squeeze(y_BCT.mean(-1)))))
        return x_BCT + y_BCT * gate_BC[..., None]


def _moments(x_BCT: Tensor, weights_BCT: Tensor | None = None, floor: float = 1e-5) -> tuple[Tensor, Tensor]:
    """Mean and deviation over time, in full precision.

    A variance below `floor` is raised to that, so that its root has a gradient. The variance is the mean of squared
    distances. As a difference of two means it would lose its digits where the mean is large beside the deviation. In
    bf16 it loses all of them where the mean is 30 times as large.
    """
    with torch.autocast(x_BCT.device.type, enabled=False):
        x_BCT = x_BCT.float()
        weights = 1 / x_BCT.shape[-1] if weights_BCT is None else weights_BCT.float()
        mean_BC1 = (x_BCT * weights).sum(-1, keepdim=True)
        variance_BC = ((x_BCT - mean_BC1).square() * weights).sum(-1)
        return mean_BC1[..., 0], variance_BC.clamp(min=floor).sqrt()
