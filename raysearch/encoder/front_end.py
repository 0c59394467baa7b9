"""Front ends: they turn audio into the features that the transformer's projection reads.

Shapes: B batch, S samples, T frames, C channels, M mel bins, K samples of a kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.encoder.config import LogMel, Waveform, Whisper
from raysearch.encoder.filterbanks.log_mel import LogMelFilterbank, centre, mirrored
from raysearch.encoder.filterbanks.whisper_mel import WhisperMel
from raysearch.encoder.frames import conv_frames, valid_mask

VARIANCE_FLOOR = 1e-5
"""Number added to a recording's variance, as in the training of the published models. It keeps silence silent."""


def build_front_end(config: Waveform | LogMel | Whisper) -> WaveformFrontEnd | LogMelFrontEnd | WhisperFrontEnd:
    """The front end that the config describes, with freshly drawn weights."""
    match config:
        case Waveform():
            return WaveformFrontEnd(config)
        case LogMel():
            return LogMelFrontEnd(config)
        case Whisper():
            return WhisperFrontEnd(config)


class WaveformFrontEnd(nn.Module):
    """Strided convolutions over samples, each followed by its norm, if it has one, and GELU.

    With `norm: group` the first layer's statistics are those of each row's valid frames. In the published Base models
    they span the padding of a batch. So here an utterance gives the same features alone as in a padded batch.
    Source: Baevski et al., wav2vec 2.0, 2020.
    """

    def __init__(self, config: Waveform) -> None:
        super().__init__()
        self.config = config
        self.normalise = config.normalise
        inputs = [1, *config.channels[:-1]]
        shapes = zip(inputs, config.channels, config.kernels, config.strides, strict=True)
        self.convs = nn.ModuleList(nn.Conv1d(i, o, k, stride=s, bias=config.bias) for i, o, k, s in shapes)
        if config.norm == "layer":
            self.norms = nn.ModuleList(ChannelNorm(channels) for channels in config.channels)
        else:
            self.norms = nn.ModuleList([FrameNorm(config.channels[0])])
        _initialise(self.convs)

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> Tensor:
        """Features of each frame, (B, T, C)."""
        if self.normalise:
            audio_BS = _normalised(audio_BS, samples_B)
        x_BCT, frames_B = audio_BS[:, None], conv_frames(self.config, samples_B)[1]
        for layer, conv in enumerate(self.convs):
            x_BCT = conv(x_BCT)
            if layer < len(self.norms):
                norm = self.norms[layer]
                known = (conv, audio_BS, frames_B) if isinstance(norm, FrameNorm) else ()
                x_BCT = norm(x_BCT, *known)
            x_BCT = F.gelu(x_BCT)
        return x_BCT.transpose(1, 2)


def _normalised(audio_BS: Tensor, samples_B: Tensor) -> Tensor:
    """The audio scaled to mean 0 and variance 1 over the valid samples of each row. Padding becomes 0."""
    valid_BS = valid_mask(samples_B, audio_BS.shape[1])
    count_B1 = samples_B[:, None].clamp(min=1)
    centred_BS = (audio_BS - (audio_BS * valid_BS).sum(1, keepdim=True) / count_B1) * valid_BS
    variance_B1 = centred_BS.square().sum(1, keepdim=True) / count_B1
    return centred_BS * torch.rsqrt(variance_B1 + VARIANCE_FLOOR)


class FrameNorm(nn.GroupNorm):
    """GroupNorm of each channel over the valid frames of each row, behind a convolution that reads audio.

    The first layer's output is the largest tensor of the encoder, so its statistics are not summed over it. What a
    channel gives is linear in the window of audio that its kernel sees. So its mean and variance follow from the mean
    and the covariance of these windows, which have K and K x K values.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def forward(  # type: ignore[override]
        self, x_BCT: Tensor, conv: nn.Conv1d, audio_BS: Tensor, frames_B: Tensor
    ) -> Tensor:
        """The normalised `x_BCT`, which is what `conv` makes of `audio_BS`. Of each row `frames_B` frames are valid."""
        # In full precision, as autocast on a GPU runs GroupNorm.
        with torch.autocast(x_BCT.device.type, enabled=False):
            mean_BC, variance_BC = self._moments(conv, audio_BS, frames_B)
            scale_BC = self.weight * torch.rsqrt(variance_BC + self.eps)
            return torch.addcmul((self.bias - mean_BC * scale_BC)[..., None], x_BCT.float(), scale_BC[..., None])

    def _moments(self, conv: nn.Conv1d, audio_BS: Tensor, frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the variance of the convolution's output over the valid frames of each row."""
        # In double precision: a kernel that passes high frequencies gives a small difference of large numbers.
        windows_BTK = audio_BS.double().unfold(1, conv.kernel_size[0], conv.stride[0])
        valid_BT1 = valid_mask(frames_B, windows_BTK.shape[1])[..., None]
        count_B11 = frames_B[:, None, None].clamp(min=1)
        mean_B1K = (windows_BTK * valid_BT1).sum(1, keepdim=True) / count_B11
        centred_BTK = (windows_BTK - mean_B1K) * valid_BT1
        covariance_BKK = centred_BTK.transpose(1, 2) @ centred_BTK / count_B11
        kernels_CK = conv.weight[:, 0].double()
        mean_BC = (mean_B1K @ kernels_CK.T)[:, 0].float()
        variance_BC = (kernels_CK @ covariance_BKK * kernels_CK).sum(-1).float()
        return mean_BC if conv.bias is None else mean_BC + conv.bias, variance_BC


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each frame."""

    def forward(self, x_BCT: Tensor) -> Tensor:
        return super().forward(x_BCT.transpose(1, 2)).transpose(1, 2)


class LogMelFrontEnd(nn.Module):
    """Log-mel bins, then strided convolutions with gated linear units.

    Frames past an utterance's end are zeroed before every convolution. So an utterance gives the same features alone as
    in a padded batch.
    Source: Yang et al., Fast-HuBERT, ASRU 2023, section 3.
    """

    def __init__(self, config: LogMel) -> None:
        super().__init__()
        self.config = config
        self.log_mel = LogMelFilterbank(config.bins, config.range_db, config.highest_hz)
        inputs = [config.bins, *config.channels[:-1]]
        shapes = zip(inputs, config.channels, config.kernels, config.strides, strict=True)
        self.convs = nn.ModuleList(nn.Conv1d(i, 2 * o, k, stride=s, padding=k // 2) for i, o, k, s in shapes)
        _initialise(self.convs)

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> Tensor:
        """Features of each frame, (B, T, C)."""
        counts = conv_frames(self.config, samples_B)
        if self.config.mirrored and audio_BS.ndim == 2:
            audio_BS = mirrored(audio_BS, samples_B)
        x_BTM = self.log_mel(audio_BS, counts[0])
        x_BCT = (centre(x_BTM, counts[0]) if self.config.centred else x_BTM).transpose(1, 2)
        # There is one count more than convolutions: the last one counts what comes out.
        for conv, frames_B in zip(self.convs, counts, strict=False):
            valid_BT = valid_mask(frames_B, x_BCT.shape[2])
            x_BCT = F.glu(conv(x_BCT * valid_BT[:, None]), dim=1)
        return x_BCT.transpose(1, 2)


class WhisperFrontEnd(nn.Module):
    """Whisper's log-mel bins, then convolutions with GELU. The last one makes the transformer's input.

    Frames past an utterance's end are zeroed before every convolution. So an utterance gives the same features alone as
    in a padded batch. Whisper itself was trained on recordings padded to 30 s with silence.
    Source: Radford et al., Whisper, 2022, section 2.2 and its published code.
    """

    def __init__(self, config: Whisper) -> None:
        super().__init__()
        self.config = config
        self.log_mel = WhisperMel(config.bins)
        inputs = [config.bins, *config.channels[:-1]]
        shapes = zip(inputs, config.channels, config.kernels, config.strides, strict=True)
        self.convs = nn.ModuleList(nn.Conv1d(i, o, k, stride=s, padding=k // 2) for i, o, k, s in shapes)
        _initialise(self.convs)

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> Tensor:
        """Features of each frame, (B, T, C)."""
        counts = conv_frames(self.config, samples_B)
        x_BCT = self.log_mel(audio_BS, samples_B).transpose(1, 2)
        # There is one count more than convolutions: the last one counts what comes out.
        for conv, frames_B in zip(self.convs, counts, strict=False):
            valid_BT = valid_mask(frames_B, x_BCT.shape[2])
            x_BCT = F.gelu(conv(x_BCT * valid_BT[:, None]))
        # In the order in which the blocks read it: no projection stands between that would bring it into order.
        return x_BCT.transpose(1, 2).contiguous()


def _initialise(convs: nn.ModuleList) -> None:
    for conv in convs:
        assert isinstance(conv, nn.Conv1d)
        nn.init.kaiming_normal_(conv.weight)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
