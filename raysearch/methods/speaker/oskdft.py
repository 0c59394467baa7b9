"""The methods `oskdft`, `kd-then-ft` and `ft-only`: distil and fine-tune in one step, in two steps, or only fine-tune.

All three end with the same kind of student: what it keeps of the teacher, adapters, and a back end for speakers. The
last two are what OS-KDFT's paper compares it with. torch is imported only when a method runs, because documents are
checked without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from raysearch.encoder.config import AnyConfig, EncoderConfig
from raysearch.encoder.cost import SUPERB_SAMPLES, macs_superb, params
from raysearch.methods.needs import Need
from raysearch.methods.speaker.inheritance import inherited_config
from raysearch.methods.speaker.steps import FinetuneSettings, OskdftSettings, TwoStepSettings
from raysearch.methods.trial import Trial
from raysearch.settings import Settings as AnySettings
from raysearch.tasks.settings import BackendSettings
from raysearch.tasks.speaker.backend_cost import backend_macs, backend_params
from raysearch.training.report import Report


class _SpeakerStudent:
    """What the three methods share. They differ in the losses of each update, as their settings say."""

    @staticmethod
    def student(settings: FinetuneSettings, teacher: AnyConfig) -> EncoderConfig:
        """The student's architecture.

        Raises: InputError if the teacher has fewer blocks than are kept, or none at all.
        """
        return inherited_config(teacher, settings.student, settings.adapter)

    @staticmethod
    def needs(settings: FinetuneSettings) -> tuple[Need, ...]:
        """The speakers to tell apart."""
        return ("speakers",)

    @staticmethod
    def backend(settings: FinetuneSettings) -> BackendSettings:
        """The back end that is shipped behind the student. Its cost is part of `macs_total`."""
        return settings.backend

    def run(self, trial: Trial[FinetuneSettings]) -> Iterator[Report]:
        """Trains student, adapters and back end, and reports at each rung at which there is an error to report."""
        from raysearch.methods.speaker.training import train_speaker_student

        settings = trial.settings
        steps = settings.steps(trial.rungs[-1])
        return train_speaker_student(trial, steps, more=lambda encoder: _total_cost(settings.backend, encoder.config))


class Oskdft(_SpeakerStudent):
    """Distils and fine-tunes in one step, for speaker verification.

    Without its adapters the student imitates the teacher. With them it verifies speakers. Both happen in one forward
    pass.

    Cannot: change the teacher's width; judge any task but `speaker` by the back end that it trains.
    Source: OS-KDFT, Heo et al., Interspeech 2023 (arXiv 2305.17394). Deviations: an adapter has no residual of its own,
    so that both routes start as one; epochs are shares of the updates, and the optimiser's moments are not reset
    between them; masked features become zero, and there is no second mask in front of the back end; weights of classes
    have a mean of 1 over the corpus, not over each batch; no crop fades in or out; gradients are clipped.
    """

    name: ClassVar[str] = "oskdft"
    Settings: ClassVar[type[AnySettings]] = OskdftSettings


class KdThenFt(_SpeakerStudent):
    """Distils first and fine-tunes afterwards, which are the two steps that OS-KDFT makes one.

    Student and back end are the same as in `oskdft`.

    Cannot: do what `oskdft` cannot; be compared at a rung within its first step, since those rungs are passed over.
    Source: the baseline of OS-KDFT's paper. Its settings there are not public.
    """

    name: ClassVar[str] = "kd-then-ft"
    Settings: ClassVar[type[AnySettings]] = TwoStepSettings


class FtOnly(_SpeakerStudent):
    """Fine-tunes what is kept of the teacher, and imitates nothing.

    Cannot: do what `oskdft` cannot.
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
