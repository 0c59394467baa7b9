"""Which sub-networks a supernet has: that of a trial, the smallest one, and those that are drawn while it is trained.

This file does not import torch, because the cost of a trial is asked for without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np

from raysearch.encoder.config import AnyConfig, EncoderConfig
from raysearch.encoder.supernet.sub_network import SubNetwork, whole, width_pieces
from raysearch.errors import InputError
from raysearch.methods.settings import with_blocks
from raysearch.methods.supernet.settings import SharedSettings, SliceSettings

T = TypeVar("T", int, float)
LEAST_SHARE = 0.25
"""Share of the whole's width and channels that the smallest sub-network has, unless its settings say how many."""


def supernet_config(settings: SharedSettings, teacher: AnyConfig) -> EncoderConfig:
    """The architecture of the supernet. Raises: InputError if it would begin as a teacher without a transformer."""
    return with_blocks(teacher) if settings.start == "teacher" else settings.largest.encoder()


def _of_blocks(given: T | Mapping[int, T] | None, blocks: Sequence[int], default: T) -> list[T]:
    """The number of each block: of single ones, counted from 1, that of all, or the default."""
    if isinstance(given, Mapping):
        return [given.get(block + 1, default) for block in blocks]
    return [default if given is None else given for _ in blocks]


class SliceSpace:
    """All sub-networks from the smallest to the whole, each size for itself."""

    def __init__(self, settings: SharedSettings, config: EncoderConfig) -> None:
        """`config` is the supernet's. Raises: InputError if the smallest sub-network has more than the whole."""
        self._config = config
        self._rule: Literal["first", "spread"] = settings.blocks
        self._shapes: Literal["uniform", "per-block"] = settings.shapes
        self._pieces = width_pieces(config)
        self._whole = whole(config)
        self._heads, self._ffn = max(self._whole.heads), max(self._whole.ffn)
        self._channels = max(self._whole.channels, default=1)
        self._ratio = self._ffn / config.width
        least = settings.smallest
        self._least_depth = least.depth
        self._least_width = least.width or self._pieces * max(1, round(LEAST_SHARE * config.width / self._pieces))
        self._least_ratio = min(least.ffn_ratio, self._ratio)
        self._least_channels = least.channels or max(1, round(LEAST_SHARE * self._channels))
        for key, size in {"depth": least.depth, "width": least.width, "channels": least.channels}.items():
            self._check(f"supernet.smallest.{key}", size, self._step(key), self._most(key), self._step(key))

    @property
    def largest(self) -> SubNetwork:
        """The whole."""
        return self._whole

    @property
    def smallest(self) -> SubNetwork:
        """The sub-network that has the least of everything."""
        blocks = self._blocks(self._least_depth)
        heads, ratios = [self._heads_at(self._least_width)] * len(blocks), [self._least_ratio] * len(blocks)
        return self._sub(blocks, self._least_width, heads, ratios, self._least_channels)

    def of(self, settings: SliceSettings) -> SubNetwork:
        """The sub-network that a trial's settings describe.

        Raises: InputError that names the setting, if the supernet has no such sub-network or never trained it.
        """
        width = settings.width or self._config.width
        least = {"depth": self._least_depth, "width": self._least_width, "channels": self._least_channels}
        for key, low in least.items():
            self._check(f"student.{key}", getattr(settings, key), low, self._most(key), self._step(key))
        for key, heads in self._by_key("student.heads", settings.heads):
            self._check(key, heads, 1, self._heads, 1)
        for key, ratio in self._by_key("student.ffn_ratio", settings.ffn_ratio):
            if not self._least_ratio <= ratio <= self._ratio:
                expected = f"{self._least_ratio:g} to {self._ratio:g}, as the supernet has them"
                raise InputError(f"{key}: {ratio:g}; expected {expected}")
        blocks = self._blocks(settings.depth or self._config.depth)
        return self._sub(
            blocks,
            width,
            _of_blocks(settings.heads, blocks, self._heads_at(width)),
            _of_blocks(settings.ffn_ratio, blocks, self._ratio),
            settings.channels or self._channels,
        )

    def _by_key(self, key: str, given: T | Mapping[int, T] | None) -> Iterator[tuple[str, T]]:
        """Each number that is given, with the key under which it stands.

        Raises: InputError if there is no such block, or if no sub-network was trained whose blocks differ.
        """
        if not isinstance(given, Mapping):
            yield from [] if given is None else [(key, given)]
            return
        if self._shapes == "uniform":
            raise InputError(f"{key}: of single blocks; expected one number for all, or supernet.shapes: per-block")
        for block, number in given.items():
            if block > self._config.depth:
                raise InputError(f"{key}.{block}: no such block; expected 1 to {self._config.depth}")
            yield f"{key}.{block}", number

    def drawn(self, rng: np.random.Generator) -> SubNetwork:
        """A sub-network of which each size is drawn evenly from the least to the most.

        Where shapes differ per block, each block's heads and feed-forward units are sizes of their own.
        """
        widths = np.arange(self._least_width, self._config.width + 1, self._pieces)
        blocks = self._blocks(int(rng.integers(self._least_depth, self._config.depth + 1)))
        width = int(rng.choice(widths))
        sizes = len(blocks) if self._shapes == "per-block" else 1
        heads = [self._drawn_heads(rng) for _ in range(sizes)] * (len(blocks) // sizes)
        ratios = [float(rng.uniform(self._least_ratio, self._ratio)) for _ in range(sizes)] * (len(blocks) // sizes)
        return self._sub(blocks, width, heads, ratios, int(rng.integers(self._least_channels, self._channels + 1)))

    def _drawn_heads(self, rng: np.random.Generator) -> int:
        return int(rng.integers(self._heads_at(self._least_width), self._heads + 1)) if self._heads else 0

    def _sub(
        self, blocks: tuple[int, ...], width: int, heads: Sequence[int], ratios: Sequence[float], channels: int
    ) -> SubNetwork:
        """The sub-network of these sizes, of which each block has its heads and its ratio of feed-forward units.

        Where a layer of the whole has less, as in a pruned teacher, it has that.
        """
        full = self._whole
        return SubNetwork(
            blocks=blocks,
            width=width,
            heads=tuple(min(kept, full.heads[block]) for kept, block in zip(heads, blocks, strict=True)),
            ffn=tuple(min(round(width * ratio), full.ffn[block]) for ratio, block in zip(ratios, blocks, strict=True)),
            channels=tuple(min(channels, most) for most in full.channels),
        )

    def _blocks(self, depth: int) -> tuple[int, ...]:
        if self._rule == "first":
            return tuple(range(depth))
        return tuple(place * self._config.depth // depth for place in range(depth))

    def _heads_at(self, width: int) -> int:
        """The heads of which a width has its share, at least one if the whole has any."""
        return min(self._heads, max(1, round(self._heads * width / self._config.width)))

    def _most(self, key: str) -> int:
        config = self._config
        return {"depth": config.depth, "width": config.width, "channels": self._channels}[key]

    def _step(self, key: str) -> int:
        return self._pieces if key == "width" else 1

    @staticmethod
    def _check(key: str, size: int | None, low: int, high: int, step: int) -> None:
        if size is not None and (not low <= size <= high or size % step):
            multiple = f"a multiple of {step} from " if step > 1 else ""
            raise InputError(f"{key}: {size}; expected {multiple}{low} to {high}, as the supernet has them")
