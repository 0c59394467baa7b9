"""Shapes of published encoders, by the names of torchaudio's bundles. Their costs are known before a download."""

from __future__ import annotations

from raysearch.encoder.config import Blocks, EncoderConfig, Waveform

_BASE = EncoderConfig(
    front_end=Waveform(), width=768, norm="post", blocks=Blocks(count=12, heads=12, head_width=64, ffn=3072)
)
_LARGE_BLOCKS = Blocks(count=24, heads=16, head_width=64, ffn=4096)

PUBLISHED = {
    "HUBERT_BASE": _BASE,
    "WAV2VEC2_BASE": _BASE,
    "HUBERT_LARGE": EncoderConfig(front_end=Waveform(norm="layer"), width=1024, norm="pre", blocks=_LARGE_BLOCKS),
    "WAV2VEC2_XLSR53": EncoderConfig(
        front_end=Waveform(norm="layer", bias=True), width=1024, norm="pre", blocks=_LARGE_BLOCKS
    ),
}
