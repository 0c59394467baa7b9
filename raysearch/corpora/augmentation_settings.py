"""Settings of disturbed training speech. Neither torch nor NumPy is imported here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from raysearch.corpora.settings import LocalPath
from raysearch.settings import Count, Settings

Kind = Literal["none", "noise", "babble", "music", "babble+music", "reverb", "speed"]
Decibels = tuple[float, float]


class AugmentationSettings(Settings):
    """How training speech is disturbed, each crop in one way. Recordings of noise and rooms are used, but not
    needed."""

    prob: float = Field(0.6, ge=0, le=1)
    """Share of the crops that are disturbed."""
    kinds: list[Kind] = Field(["noise", "babble", "reverb"], min_length=1)
    """Ways to disturb a crop, drawn evenly. `noise`: coloured noise; `babble`: three other cuts; `reverb`: the
    reverberation of a made-up room; `music` and `babble+music`: recordings of `musan`; `speed`: a tenth faster or
    slower, for the teacher too, and at each speed a speaker counts as another one; `none`: nothing but `clip`."""
    snr_db: Decibels = (5.0, 20.0)
    """Range in decibels of the level of the speech above noise, and above babble of other cuts."""
    musan: LocalPath | None = None
    """Folder of noise recordings at 16 kHz, which take the place of coloured noise. If it has folders `noise`, `music`
    and `speech`, as MUSAN has, each of them is a kind of disturbance with a level of its own."""
    noise_db: Decibels = (0.0, 15.0)
    """Range in decibels of the level of the speech above noise of the folder `noise`."""
    music_db: Decibels = (5.0, 15.0)
    """Range in decibels of the level of the speech above music of the folder `music`."""
    speech_db: Decibels = (13.0, 20.0)
    """Range in decibels of the level of the speech above babble of the folder `speech`."""
    speech_files: tuple[Count, Count] = (3, 8)
    """Fewest and most recordings of the folder `speech` that are added up to make babble."""
    rirs: LocalPath | None = None
    """Folder of room impulse responses at 16 kHz. They take the place of made-up rooms."""
    clip: float = Field(0.0, ge=0, le=1)
    """Share of the disturbed crops that are clipped as well, at a level drawn from a half to nine tenths of their
    peaks."""

    @model_validator(mode="after")
    def _ascending(self) -> AugmentationSettings:
        for key in ("snr_db", "noise_db", "music_db", "speech_db", "speech_files"):
            least, most = getattr(self, key)
            if least > most:
                raise ValueError(f"{key}: [{least:g}, {most:g}]; expected the lower number first")
        return self
