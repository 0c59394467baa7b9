"""OS-KDFT and the two ways it is compared with, as methods: one step, two steps, or fine-tuning alone.

All three end with the same student: what it keeps of the teacher, adapters, and a back end. No torch until they run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from raysearch.encoder.config import AnyConfig, EncoderConfig
from raysearch.encoder.cost import SUPERB_SAMPLES, macs_superb, params
from raysearch.methods.speaker.inheritance import inherited_config
from raysearch.methods.speaker.steps import FinetuneSettings, OskdftSettings, TwoStepSettings
from raysearch.methods.trial import Trial
from raysearch.settings import Settings as AnySettings
from raysearch.tasks.settings import BackendSettings
from raysearch.tasks.speaker.backend_cost import backend_macs, backend_params
from raysearch.training.report import Report

if TYPE_CHECKING:
    pass


class _SpeakerStudent:
    @staticmethod
    def student(settings: FinetuneSettings, teacher: AnyConfig) -> EncoderConfig:
        """Raises: InputError if the teacher has fewer blocks than are kept, or none at all."""
        return inherited_config(teacher, settings.student, settings.adapter)

    @staticmethod
    def backend(settings: FinetuneSettings) -> BackendSettings:
        """What is shipped behind the student, for `macs_total`."""
        return settings.backend

    def run(self, trial: Trial[FinetuneSettings]) -> Iterator[Report]:
        from raysearch.methods.speaker.training import train_speaker_student

        settings = trial.settings
        steps = settings.steps(trial.rungs[-1])
        return train_speaker_student(trial, steps, more=lambda encoder: _total_cost(settings.backend, encoder.config))


class Oskdft(_SpeakerStudent):
    """Distils and fine-tunes in one step: without its adapters a student imitates the teacher, with them it verifies
    speakers, both in one forward pass.

    Cannot: change the teacher's width; judge any task but `speaker` by the back end that it trains.
    Source: OS-KDFT, Heo et al., Interspeech 2023 (arXiv 2305.17394). Deviations: an adapter has no residual of its own,
    so that both routes start as one; epochs are shares of the updates, and moments are not reset between them; classes
    are not weighted; no time-frequency masks in front of the back end; gradients are clipped.
    """

    name: ClassVar[str] = "oskdft"
    Settings: ClassVar[type[AnySettings]] = OskdftSettings


class KdThenFt(_SpeakerStudent):
    """Distils first and fine-tunes then: the two steps that OS-KDFT makes one. Student and back end are the same.

    Cannot: as `oskdft`; nor be compared at a rung within its first step: those are passed over.
    Source: the baseline of OS-KDFT's paper; its settings there are not public.
    """

    name: ClassVar[str] = "kd-then-ft"
    Settings: ClassVar[type[AnySettings]] = TwoStepSettings


class FtOnly(_SpeakerStudent):
    """Fine-tunes what is kept of the teacher, and imitates nothing.

    Cannot: as `oskdft`.
    Source: the other baseline of OS-KDFT's paper.
    """

    name: ClassVar[str] = "ft-only"
    Settings: ClassVar[type[AnySettings]] = FinetuneSettings


def _total_cost(backend: BackendSettings, config: EncoderConfig) -> dict[str, float]:
    macs = macs_superb(config) + backend_macs(backend, config, SUPERB_SAMPLES)
    return {
        "cost/macs_total_g": macs / 1e9,
        "cost/params_total_m": (params(config) + backend_params(backend, config)) / 1e6,
    }
