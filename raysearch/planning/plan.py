"""The plan: what a search will take in hours, GPUs, label sets and disk.

It puts three things together: the exact multiply-accumulates of each update, the pace of a device, and the forecast,
which says what trials the real searcher would run and when they end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysearch.corpora.batches import KEPT_BYTES
from raysearch.corpora.readers.table import read_corpus
from raysearch.encoder.config import SAMPLE_RATE_HZ, AnyConfig, EncoderConfig
from raysearch.encoder.cost import TRAINING_PASSES, params
from raysearch.encoder.frames import frames
from raysearch.errors import InputError
from raysearch.methods.settings import block_numbers
from raysearch.planning.forecast import Forecast, forecast
from raysearch.planning.pace import HERE, Pace, Range, pace_of_students, pace_of_teacher
from raysearch.planning.shared_training import probed_tasks, shared_trainings
from raysearch.planning.update_cost import head_macs_per_s, macs_per_s, states_asked, update_cost
from raysearch.planning.wanted_heads import judging_heads, wanted_head
from raysearch.planning.wanted_labels import asked_targets
from raysearch.search.checks.possible import draw_feasible, refuse_impossible
from raysearch.search.costs import Costs
from raysearch.search.memory.memory import Memory
from raysearch.spec.budget import Held
from raysearch.spec.document import Spec
from raysearch.spec.space import Config
from raysearch.targets.kept_features import features_bytes, kept_grid
from raysearch.targets.kept_layer import Grid
from raysearch.targets.store import Store
from raysearch.tasks.layers import FILE_BYTES, states_bytes
from raysearch.teachers.settings import TrainedTeacher

DRAWN = 200
"""Configurations drawn to say what the space's students are like."""
CHECKPOINTS = 2
"""Checkpoints that a trial keeps. Each holds the weights and two moments of the optimiser for each of them."""
FLOAT, LABEL = 4, 2
"""Bytes of a weight in fp32, and of a label."""
HELD_OUT_H = 5.4
"""Hours of LibriSpeech's dev-clean, and of its test-clean."""
KEPT_S = KEPT_BYTES / 2 / SAMPLE_RATE_HZ
"""Seconds of audio that a worker keeps decoded."""


@dataclass(frozen=True)
class Hours:
    """Hours of audio in each split of a corpus."""

    train: float
    dev: float
    test: float
    source: str
    """Where these hours are known from, for a reader of the plan."""


@dataclass(frozen=True)
class Planner:
    """Estimates the seconds of each part of a search: a trial, the teacher, a label set."""

    spec: Spec
    teacher: AnyConfig
    hours: Hours
    pace: Pace
    """How fast students are trained."""
    teacher_pace: Pace
    """How fast the teacher is trained and heard."""

    def trial_s(self, config: Config) -> Range:
        """Seconds of a whole trial: its updates, reading audio that is not kept, and an evaluation at each rung."""
        spec = self.spec
        settings, student = spec.settings(config), spec.student_config(config, self.teacher)
        method = str(config["method"])
        updates = spec.updates(method)
        kept = bool(self.kept_layers(config))
        cost = update_cost(settings, student, self.teacher, spec.workers.num_workers, kept=kept)
        training = self.pace.seconds(updates * cost.macs, updates * settings.training.accumulate)
        read_s = updates * cost.audio_s * self.pace.reading_s * self._read_again
        tasks, hours = probed_tasks(settings, spec.tasks), self.hours
        rungs = []
        for rung in spec.rung_updates(method):
            held_out_h = hours.dev + (hours.test if rung in (0, updates) else 0.0)
            rungs.append(self.pace.seconds(*self._judging(student, tasks, held_out_h)))
        return Range(*(sum(parts) + read_s for parts in zip(training, *rungs, strict=True)))

    @property
    def _read_again(self) -> float:
        """Share of the audio that is read anew each time it is needed."""
        # What a worker keeps decoded is read once, which is next to nothing over a trial.
        return max(0.0, 1 - KEPT_S / (3600 * self.hours.train))

    def _judging(self, encoder: AnyConfig, tasks: Sequence[Any], held_out_h: float) -> tuple[float, int]:
        """MACs and updates of judging an encoder on tasks, by so many hours of audio that is held out.

        It encodes that audio, and what each task's head learns from: once where its hidden states can be kept, and else
        anew for each batch. Then come the head's own updates, of which SUPERB's heads make work that counts.
        """
        passes_s, updates, head_macs = 3600 * held_out_h, 0, 0.0
        for task in tasks:
            # Tasks that read whole recordings give a batch in seconds, those that read crops as a number of crops.
            batch_s = getattr(task, "batch_s", None) or task.batch * task.crop_s
            if getattr(task, "mode", "probe") == "finetune":
                passes_s += TRAINING_PASSES * task.updates * batch_s
            elif states_bytes(encoder, round(3600 * self.hours.train * SAMPLE_RATE_HZ)) <= FILE_BYTES:
                passes_s += min(3600 * self.hours.train, task.updates * batch_s)
            else:
                passes_s += task.updates * batch_s
            heads = len(getattr(task, "lrs", [0])) if getattr(task, "mode", "probe") == "probe" else 1
            head_macs += heads * head_macs_per_s(task, encoder) * TRAINING_PASSES * task.updates * batch_s
            updates += task.updates
        return passes_s * macs_per_s(encoder) + head_macs, updates

    def teacher_s(self) -> Range:
        """Seconds of training the teacher. Zero for a teacher that is imported."""
        teacher = self.spec.teacher
        if not isinstance(teacher, TrainedTeacher):
            return Range(0.0, 0.0, 0.0)
        # A HuBERT teacher is trained twice: on clusters of MFCCs, then on clusters of its own features.
        updates = teacher.updates * (2 if teacher.method == "hubert" else 1)
        heard_s = updates * teacher.batch_s
        return self.teacher_pace.seconds(heard_s * TRAINING_PASSES * macs_per_s(self.teacher), updates)

    def heads_s(self, configs: Sequence[Config]) -> Range:
        """Seconds of training heads on the teacher, each once for all trials: those that students begin with, and
        those by which it is judged."""
        heads = [head for config in configs if (head := wanted_head(self.spec, config))]
        wanted = {head.model_dump_json(): head for head in [*heads, *judging_heads(self.spec)]}
        held_out_h = self.hours.dev + self.hours.test
        work = [self._judging(self.teacher, [head], held_out_h) for head in wanted.values()]
        return self.teacher_pace.seconds(sum(macs for macs, _ in work), sum(updates for _, updates in work))

    def before_s(self, configs: Sequence[Config]) -> Range:
        """Seconds of what trials wait for: the teacher, its heads, its passes for label sets and for features, and the
        trainings that trials share."""
        passes = bool(self.label_sets(configs)) + self.feature_passes(configs)
        parts = zip(self.teacher_s(), self.heads_s(configs), self.shared_s(), self.pass_s(), strict=True)
        return Range(*(teacher + heads + shared + passes * once for teacher, heads, shared, once in parts))

    def shared_s(self) -> Range:
        """Seconds of the trainings that trials share, each done once by one worker. Zero for methods without any."""
        work = shared_trainings(self.spec, self.teacher)
        return self.pace.seconds(sum(one.macs for one in work), sum(one.updates for one in work))

    def pass_s(self) -> Range:
        """Seconds in which the teacher reads and encodes the training split once: for a label set, or for features."""
        train_s = 3600 * self.hours.train
        heard = self.teacher_pace.seconds(train_s * macs_per_s(self.teacher), 0)
        return Range(*(seconds + train_s * self.pace.reading_s for seconds in heard))

    def label_sets(self, configs: Sequence[Config]) -> int:
        """How many different label sets the configurations ask for."""
        return len({one.model_dump_json() for config in configs for one in asked_targets(self.spec, config)})

    def kept_layers(self, config: Config) -> frozenset[tuple[int, Grid]]:
        """The teacher's layers whose hidden states are kept for a trial, numbered from 0, and on which frames.

        Empty if its method asks for none, or if the teacher runs in every update.
        """
        settings, method = self.spec.settings(config), str(config["method"])
        student = self.spec.student_config(config, self.teacher)
        asked = states_asked(settings, student, self.teacher)
        if not asked or not isinstance(self.teacher, EncoderConfig) or not isinstance(student, EncoderConfig):
            return frozenset()
        grid = kept_grid(self.teacher, student)
        layers = frozenset((layer, grid) for layer in block_numbers(asked, self.teacher.depth, first=0))
        train_s = 3600 * self.hours.train
        kept = self.spec.keeps_features(method, settings.training, self._kept_bytes(layers), train_s)
        return layers if kept else frozenset()

    def features(self, configs: Sequence[Config]) -> frozenset[tuple[int, Grid]]:
        """The layers that are kept for all configurations together."""
        return frozenset().union(*map(self.kept_layers, configs))

    def feature_passes(self, configs: Sequence[Config]) -> int:
        """How often the teacher is asked: by every configuration that wants a layer which none before it has wanted."""
        passes, kept = 0, set[tuple[int, Grid]]()
        for layers in map(self.kept_layers, configs):
            passes += not layers <= kept
            kept |= layers
        return passes

    def _kept_bytes(self, layers: frozenset[tuple[int, Grid]]) -> int:
        if not isinstance(self.teacher, EncoderConfig):
            return 0
        samples = [round(3600 * self.hours.train * SAMPLE_RATE_HZ)]
        return sum(features_bytes(self.teacher, grid, samples) for _, grid in layers)

    def storage_gb(self, found: Forecast, params_mean: float) -> dict[str, float]:
        """Gigabytes on disk by what they hold. `params_mean`: mean number of parameters of a student."""
        ended = sum(found.states.values())
        labels = frames(self.teacher, round(3600 * self.hours.train * SAMPLE_RATE_HZ)) * LABEL
        return {
            "students": ended * params_mean * FLOAT / 1e9,
            "resume states, at most": ended * CHECKPOINTS * 3 * params_mean * FLOAT / 1e9,
            "label sets": self.label_sets(found.configs) * labels / 1e9,
            "teacher features": self._kept_bytes(self.features(found.configs)) / 1e9,
        }


def corpus_hours(spec: Spec, train: float | None, store: Store) -> Hours:
    """Hours of the spec's corpus. With `train`, a corpus of so many hours to train on is assumed and none is read.

    Raises: InputError if the corpus has to be read and cannot be.
    """
    if train is not None:
        return Hours(train, HELD_OUT_H, HELD_OUT_H, f"as asked, not read; dev and test {HELD_OUT_H:g} h each, assumed")
    corpus = read_corpus(spec.corpus, store.corpora)
    return Hours(corpus.hours("train"), corpus.hours("dev"), corpus.hours("test"), "read")


def ends_and_middle(students: Sequence[AnyConfig]) -> tuple[AnyConfig, AnyConfig, AnyConfig]:
    """The cheapest, a middle and the dearest of some students, by which a pace is measured."""
    by_cost = sorted(students, key=macs_per_s)
    return by_cost[0], by_cost[len(by_cost) // 2], by_cost[-1]


def make_plan(
    spec: Spec,
    teacher: AnyConfig,
    hours: Hours,
    *,
    gpus: int,
    gpu: str,
    say: Callable[[str], None] = lambda line: None,
    memory: Memory | None = None,
) -> dict[str, Any]:
    """The plan as `plan --json` prints it. Measures this machine for some seconds.

    Raises: InputError if the GPUs are too few for a lane, or constraints leave next to nothing.
    """
    workers, budget = spec.workers.num_workers, spec.search.budget
    lanes = min(gpus // workers, spec.search.trials)  # a lane without a trial would do nothing
    if not lanes:
        raise InputError(f"--gpus: {gpus}; expected at least workers.num_workers = {workers}")
    refuse_impossible(spec, teacher)
    say(f"plan: drawing {DRAWN} configurations")
    costs = Costs(spec, teacher)
    configs = draw_feasible(spec, costs, DRAWN, np.random.default_rng(spec.search.seed))
    students = [spec.student_config(config, teacher) for config in configs]
    measured = ends_and_middle(students)
    say("plan: measuring how fast this machine trains three of the students and reads audio")
    pace = teacher_pace = pace_of_students(gpu, measured, spec.workers)
    if gpu == HERE and isinstance(spec.teacher, TrainedTeacher):
        say("plan: measuring how fast it trains the teacher")
        teacher_pace = pace_of_teacher(pace, spec.teacher)
    planner = Planner(spec, teacher, hours, pace, teacher_pace)
    times = [planner.trial_s(config) for config in configs]
    mean = Range(*(float(np.mean(column)) for column in zip(*times, strict=True)))
    trials = spec.search.trials
    if budget is not None:
        held = Held(cpus=lanes * workers * spec.workers.cpus, gpus=lanes * workers)
        left_s = 3600 * budget.hours_of(held) - planner.before_s(configs).likely
        trials = min(trials, lanes * max(1, int(left_s / mean.likely)))
    say(f"plan: forecasting {trials} trials on {lanes} lanes with the searcher itself")
    found = forecast(spec, teacher, lambda config: planner.trial_s(config).likely, trials, lanes)
    # The forecast is of trials at the likely pace. At a quicker or slower one the whole search shrinks or grows alike.
    search_h = Range(*(found.makespan_s / 3600 * value / mean.likely for value in mean))
    before_h = Range(*(seconds / 3600 for seconds in planner.before_s(found.configs)))
    macs_g = [costs(config).macs_g for config in configs]
    params_mean = float(np.mean([params(student) for student in students]))
    gpu_hours = Range(*(lanes * workers * (search + before) for search, before in zip(search_h, before_h, strict=True)))
    trials_a_s = trials / found.makespan_s
    return {
        "name": spec.name,
        "gpus": gpus,
        "gpu": gpu,
        "trials": trials,
        "lanes": lanes,
        "idle_gpus": gpus - lanes * workers,
        "hours": {"train": hours.train, "dev": hours.dev, "test": hours.test, "source": hours.source},
        "students_macs_g": {"least": min(macs_g), "median": float(np.median(macs_g)), "most": max(macs_g)},
        "trial_s": mean._asdict(),
        "before_h": before_h._asdict(),
        "shared_h": planner.shared_s().likely / 3600,
        "search_h": search_h._asdict(),
        "gpu_hours": gpu_hours._asdict(),
        "trials_by_state": found.states,
        "label_sets": planner.label_sets(found.configs),
        "features": len(planner.features(found.configs)),
        "storage_gb": planner.storage_gb(found, params_mean),
        "curve": [
            {"gpu_hours": share * gpu_hours.likely, "quartiles": [lower, median, upper]}
            for share, lower, median, upper in found.curve
        ],
        "driver": {"seconds_a_trial": found.driver_s, "busy": found.driver_s * trials_a_s},
        "measured": [
            *teacher_pace.measured,
            f"the searcher's own time: {found.driver_s:.2g} s of one CPU a trial (in memory, this machine, now)",
        ],
        "assumed": [
            *pace.assumed,
            *_assumed(planner, found.configs),
            *([f"the search {memory}, which the forecast leaves out"] if memory else []),
        ],
    }


def _assumed(planner: Planner, configs: Sequence[Config]) -> list[str]:
    """Lines that tell a reader what the plan assumes."""
    spec = planner.spec
    lines = [
        "errors follow made-up laws, so only the curve's shape means something; its shares are of the best known front",
        "cuts are as long as SUPERB's; linear heads, decoding, augmentation, k-means and start-up are not counted",
        "nothing overlaps: audio that a worker does not keep decoded is read between updates",
    ]
    if any(wanted_head(spec, config) for config in configs):
        lines.append("the teacher has no head that reads the task's symbols, so one is trained on it first")
    if spec.search.keep_features_gb == "auto" and planner.features(configs):
        lines.append("half of the free disk holds the teacher's features; else the teacher runs in every update")
    if spec.charges:
        lines.append(
            f"each shape is exported, and measured for {' and '.join(sorted(spec.charges))}, before its first trial: "
            "some seconds that are not counted; the forecast takes MACs in their place"
        )
    if spec.sharing:
        lines.append(
            f"what all trials of {', '.join(spec.sharing)} share is not in the store yet; one worker trains it"
        )
    if isinstance(spec.teacher, TrainedTeacher):
        lines.append("the teacher is not in the store yet")
    return lines
