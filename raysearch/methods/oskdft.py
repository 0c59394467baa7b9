"""OS-KDFT and the two ways it is compared with, as methods: one step, two steps, or fine-tuning alone.

All three end with the same student: what it keeps of the teacher, adapters, and a back end. No torch until they run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from raysearch.corpora.settings import AugmentationSettings
from raysearch.encoder.config import AnyConfig, EncoderConfig
from raysearch.encoder.cost import SUPERB_SAMPLES, macs_superb, params
from raysearch.methods.base import Report, Trial
from raysearch.methods.kept import kept_config
from raysearch.methods.plans import OneStep, Plan, TwoSteps
from raysearch.methods.verification_settings import (
    AdapterSettings,
    FirstKdSettings,
    KdSettings,
    KeptSettings,
    SharedSettings,
    SpeakerTraining,
    VerificationSettings,
)
from raysearch.settings import Settings as AnySettings
from raysearch.tasks.backend_cost import backend_macs, backend_params
from raysearch.tasks.settings import BackendSettings

if TYPE_CHECKING:
    from raysearch.encoder.encoder import Encoder


class FinetuneSettings(AnySettings):
    """Train what is kept of the teacher to tell speakers apart."""

    student: KeptSettings = KeptSettings()
    """What is kept of the teacher."""
    adapter: AdapterSettings = AdapterSettings()
    """The adapters."""
    backend: BackendSettings = BackendSettings()
    """From frames to embeddings."""
    verification: VerificationSettings = VerificationSettings()
    """The loss on speakers."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """How the student's input is disturbed."""
    training: SpeakerTraining = SpeakerTraining()
    """Optimiser and batches."""
    distillation: SharedSettings = SharedSettings()
    """The student's rate; nothing is imitated."""

    def plan(self, updates: int) -> Plan:
        """What each of so many updates trains the student for."""
        return TwoSteps(updates, 0, 0.0, self.distillation, self.verification, self.training)


class OskdftSettings(FinetuneSettings):
    """The same while it imitates the teacher."""

    distillation: KdSettings = KdSettings()
    """Imitation beside verification."""

    def plan(self, updates: int) -> Plan:
        return OneStep(updates, self.distillation, self.verification, self.training)


class TwoStepSettings(FinetuneSettings):
    """The same after it has imitated the teacher."""

    distillation: FirstKdSettings = FirstKdSettings()
    """Imitation before verification."""

    def plan(self, updates: int) -> Plan:
        kd = self.distillation
        first = max(1, min(updates - 1, round(kd.share * updates)))
        return TwoSteps(updates, first, kd.weight, kd, self.verification, self.training)


class _SpeakerStudent:
    @staticmethod
    def student(settings: AnySettings, teacher: AnyConfig) -> EncoderConfig:
        """Raises: InputError if the teacher has fewer blocks than are kept, or none at all."""
        assert isinstance(settings, FinetuneSettings)
        return kept_config(teacher, settings.student, settings.adapter)

    @staticmethod
    def backend(settings: AnySettings) -> BackendSettings:
        """What is shipped behind the student, for `macs_total`."""
        assert isinstance(settings, FinetuneSettings)
        return settings.backend

    def run(self, trial: Trial) -> Iterator[Report]:
        from raysearch.methods.speaker_trial import train_speakers

        settings = trial.settings
        assert isinstance(settings, FinetuneSettings)
        plan = settings.plan(trial.rungs[-1])

        def evaluate(encoder: Encoder, final: bool, trained: Mapping[str, object]) -> Mapping[str, float]:
            return {**trial.evaluate(encoder, final, trained), **_total_cost(settings.backend, encoder.config)}

        return train_speakers(trial, settings, plan, evaluate)


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
