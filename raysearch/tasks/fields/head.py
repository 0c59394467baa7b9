"""The heads that decide fields, and the learner that trains them.

Shapes: B cuts, L layers, T frames, N frames of several cuts end to end, D width, F fields, V values of all fields,
X inputs of the last linear layer, U units of SUPERB's head.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import torch
from lhotse.cut import MonoCut
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.encoder.frames import valid_mask
from raysearch.tasks.ctc.tokens import pad
from raysearch.tasks.fields.fields import UNKNOWN, Fields


class FieldHead(nn.Module):
    """A head that gives logits of every value of every field. It reads a learned sum of LayerNormed hidden states.

    Its weights start at zero, so that a linear head depends on no random draw.
    """

    weight_VX: nn.Parameter

    def __init__(self, layers: int, width: int, sizes: Sequence[int], pooled: int) -> None:
        """Builds the head. `sizes` are the numbers of values of each field, `pooled` the inputs of the last layer."""
        super().__init__()
        self.layers, self.width, self.sizes = layers, width, list(sizes)
        self.mix_L = nn.Parameter(torch.zeros(layers))
        self.weight_VX = nn.Parameter(torch.zeros(sum(sizes), pooled))
        self.bias_V = nn.Parameter(torch.zeros(sum(sizes)))

    def forward(self, x_LND: Tensor, frames: Sequence[int]) -> Tensor:
        """The logits (B, V), field after field, of cuts that lie end to end and have so many frames each."""
        x_BTD = pad(torch.einsum("l,lnd->nd", self.mix_L.softmax(0), x_LND), frames)
        return self.read(x_BTD, torch.tensor(frames, device=x_BTD.device))

    def read(self, x_BTD: Tensor, frames_B: Tensor) -> Tensor:
        """The logits (B, V) of padded rows that have so many frames each."""
        return self.score(x_BTD, valid_mask(frames_B, x_BTD.shape[1])) + self.bias_V

    def log_probs(self, logits_BV: Tensor) -> Tensor:
        """The log probabilities (B, V). Those of each field sum to 1 on their own, before the logarithm."""
        return torch.cat([logits.log_softmax(-1) for logits in logits_BV.split(self.sizes, -1)], dim=-1)

    def score(self, x_BTD: Tensor, real_BT: Tensor) -> Tensor:
        """The logits (B, V) without their bias. Frames that are not real are padding."""
        raise NotImplementedError

    def best(self, logits_BV: Tensor) -> Tensor:
        """The index of each field's likeliest value (B, F)."""
        return torch.stack([logits.argmax(-1) for logits in logits_BV.split(self.sizes, -1)], dim=1)


class StatisticsHead(FieldHead):
    """A head with one linear layer, on the mean and the maximum of the frames in each of several equal stretches."""

    def __init__(self, layers: int, width: int, sizes: Sequence[int], segments: int = 1) -> None:
        super().__init__(layers, width, sizes, 2 * segments * width)
        self.segments = segments

    def score(self, x_BTD: Tensor, real_BT: Tensor) -> Tensor:
        pooled = []
        for inside_BT in self._stretches(real_BT):
            inside_BT1 = inside_BT[..., None]
            pooled.append((x_BTD * inside_BT1).sum(1) / inside_BT1.sum(1))
            pooled.append(x_BTD.masked_fill(~inside_BT1, -torch.inf).amax(1))
        return F.linear(torch.cat(pooled, dim=-1), self.weight_VX)

    def _stretches(self, real_BT: Tensor) -> Iterator[Tensor]:
        """Which frames lie in each stretch (B, T).

        A stretch has at least one frame. In a cut with fewer frames than stretches, neighbours share a frame.
        """
        frames_B1 = real_BT.sum(1, keepdim=True)
        time_T = torch.arange(real_BT.shape[1], device=real_BT.device)
        for number in range(self.segments):
            # The start is rounded down and the end up, so that no stretch is empty.
            first_B1 = number * frames_B1 // self.segments
            end_B1 = ((number + 1) * frames_B1 + self.segments - 1) // self.segments
            yield (time_T >= first_B1) & (time_T < end_B1)


class AttentionHead(FieldHead):
    """A head in which every value attends to frames of its own, because it is a word or a few, somewhere in the cut.

    The logit of a value is a weighted mean over time of a linear score of each frame. The weights are the softmax over
    time of another linear score.
    """

    def __init__(self, layers: int, width: int, sizes: Sequence[int]) -> None:
        super().__init__(layers, width, sizes, width)
        self.query_VD = nn.Parameter(torch.zeros(sum(sizes), width))

    def score(self, x_BTD: Tensor, real_BT: Tensor) -> Tensor:
        attention_BTV = F.linear(x_BTD, self.query_VD).masked_fill(~real_BT[..., None], -torch.inf).softmax(1)
        return (attention_BTV * F.linear(x_BTD, self.weight_VX)).sum(1)


class MeanHead(FieldHead):
    """SUPERB's head for whole recordings: a linear layer, the mean over time, and a linear layer.

    The mean is taken first, since that gives the same for less work. The first layer's weights are drawn.
    Source: s3prl, downstream `speech_commands` and `fluent_commands`.
    """

    def __init__(self, layers: int, width: int, sizes: Sequence[int], units: int) -> None:
        super().__init__(layers, width, sizes, units)
        self.project = nn.Linear(width, units)

    def score(self, x_BTD: Tensor, real_BT: Tensor) -> Tensor:
        mean_BD = (x_BTD * real_BT[..., None]).sum(1) / real_BT.sum(1, keepdim=True)
        return F.linear(self.project(mean_BD), self.weight_VX)


def build_field_head(
    layers: int, width: int, sizes: Sequence[int], pooling: str, segments: int, units: int | None = None
) -> FieldHead:
    """A new head. `pooling` is `attention` or `mean+max`, as `task.pooling` says; with `units` it is SUPERB's."""
    if units is not None:
        return MeanHead(layers, width, sizes, units)
    if pooling == "attention":
        return AttentionHead(layers, width, sizes)
    return StatisticsHead(layers, width, sizes, segments)


class FieldLearner:
    """Teaches a head the fields of the given cuts. The loss is the cross-entropy, a sum over fields, a mean over cuts.

    A value that does not occur in train adds nothing.
    """

    def __init__(
        self,
        fields: Fields,
        values: Mapping[str, Mapping[str, str]],
        pooling: str,
        segments: int,
        units: int | None = None,
        *,
        balanced: bool = False,
    ) -> None:
        """Remembers what the head is to read. `values` holds each field's value, by the id of the cut. `units` are
        those of SUPERB's head; a linear head has none. With `balanced` all values of a field weigh the same in the
        whole of the cuts, however many cuts have them.
        """
        self.fields = fields
        self._wanted = {cut: fields.encode(own) for cut, own in values.items()}
        self._shape = (pooling, segments, units)
        self._weights = self._even_weights() if balanced else [None] * len(fields.sizes)

    def head(self, layers: int, width: int) -> FieldHead:
        return build_field_head(layers, width, self.fields.sizes, *self._shape)

    def count(self, cuts: Sequence[MonoCut]) -> int:
        return len(cuts)

    def loss(self, head: nn.Module, x_LND: Tensor, frames: Sequence[int], cuts: Sequence[MonoCut]) -> Tensor:
        logits_BV = head(x_LND, frames).float()
        wanted_BF = torch.tensor([self._wanted[cut.id] for cut in cuts], device=logits_BV.device)
        by_field = zip(logits_BV.split(self.fields.sizes, -1), wanted_BF.unbind(1), self._weights, strict=True)
        losses = [
            F.cross_entropy(
                logits,
                wanted_B,
                weight=None if weights is None else weights.to(logits),
                ignore_index=UNKNOWN,
                reduction="sum",
            )
            for logits, wanted_B, weights in by_field
        ]
        return torch.stack(losses).sum()

    def _even_weights(self) -> list[Tensor | None]:
        """The weights of the values of each field. Their mean over the cuts is 1."""
        by_field = zip(*self._wanted.values(), strict=True)
        counts = [Counter(value for value in wanted if value != UNKNOWN) for wanted in by_field]
        return [
            torch.tensor(
                [count.total() / (len(count) * count[value]) if count[value] else 0.0 for value in range(size)]
            )
            for count, size in zip(counts, self.fields.sizes, strict=True)
        ]
