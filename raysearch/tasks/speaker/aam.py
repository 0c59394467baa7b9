"""Softmax with a margin: a cut must be nearer to its own speaker than to any other, by an angle (AAM) or by a
difference of cosines (AM).

Shapes: B batch, E width of an embedding, S speakers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AamSoftmax(nn.Module):
    """The loss that trains embeddings of speakers, with one learned direction for each training speaker.

    Source: Deng et al., ArcFace, CVPR 2019, section 2.1, with its guard past pi; of AM: Wang et al., IEEE Signal
    Processing Letters 2018, section 2.
    """

    balance_S: Tensor | None

    def __init__(
        self,
        speakers: int,
        embedding: int,
        scale: float,
        balance_S: Tensor | None = None,
        margin: Callable[[Tensor, float], Tensor] | None = None,
    ) -> None:
        """`balance_S` is the weight of each speaker's cuts in the loss. By default all weigh 1.

        `margin` gives the cosine with a margin, by default `with_margin`; `less_margin` makes it AM softmax.
        """
        super().__init__()
        self.scale = scale
        self._with_margin = margin or with_margin
        # Checkpoints do not hold the weights, which the corpus gives.
        self.register_buffer("balance_S", balance_S, persistent=False)
        self.weight_SE = nn.Parameter(torch.empty(speakers, embedding))
        nn.init.xavier_normal_(self.weight_SE)

    def forward(self, embedding_BE: Tensor, speakers_B: Tensor, margin: float) -> tuple[Tensor, Tensor]:
        """The loss of each cut (B) in nats, and whether its own speaker is the nearest (B), without the margin."""
        # In half precision the cosines of near directions could not be told apart.
        with torch.autocast(embedding_BE.device.type, enabled=False):
            cosine_BS = F.linear(F.normalize(embedding_BE.float()), F.normalize(self.weight_SE.float()))
            own_B1 = cosine_BS.gather(1, speakers_B[:, None])
            logits_BS = self.scale * cosine_BS.scatter(1, speakers_B[:, None], self._with_margin(own_B1, margin))
            loss_B = F.cross_entropy(logits_BS, speakers_B, reduction="none")
            if self.balance_S is not None:
                loss_B = loss_B * self.balance_S[speakers_B]
        return loss_B, (cosine_BS.argmax(1) == speakers_B).float()


def with_margin(cosine: Tensor, margin: float) -> Tensor:
    """The cosine of the angle plus the margin.

    Past pi - margin that cosine would rise again. There its place is taken by a line that goes on falling.
    """
    if margin == 0:
        return cosine
    # The slope of the root is infinite at cosines of 1 and -1.
    sine = (1 - cosine.square()).clamp(min=1e-12).sqrt()
    turned = cosine * math.cos(margin) - sine * math.sin(margin)
    return torch.where(cosine > -math.cos(margin), turned, cosine - margin * math.sin(margin))


def less_margin(cosine: Tensor, margin: float) -> Tensor:
    """The cosine less the margin."""
    return cosine - margin
