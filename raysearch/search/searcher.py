"""The searcher suggests trials, observes them at rungs and ends them. It keeps all it knows in the study.

It knows nothing of Ray. These are its verbs:

suggest() -> Suggestion | None        the next trial to run; None if there is nothing more to suggest
observe(number, updates, metrics)     what a trial has at a rung before the last; says whether it goes on
complete(number, updates, metrics)    what a trial has at the last rung
fail(number, cause, error)            the trial broke; it may be suggested again
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np
from threadpoolctl import ThreadpoolController

from raysearch.encoder.config import AnyConfig
from raysearch.errors import DiskFullError, InputError, WorkError
from raysearch.front.objective import costs_of, errors_of
from raysearch.front.objective import value as objective_value
from raysearch.front.trials import Cost, TrialRecord
from raysearch.lanes.source import DRAINED, Suggestion
from raysearch.search.acquisition import Known, propose
from raysearch.search.costs import Costs
from raysearch.search.memory.memory import Memory
from raysearch.search.repeats import next_repeat, over_seeds, repeats_left
from raysearch.search.sampler import choose_sampler, derived_seed, make_sampler, stratified
from raysearch.search.scheduler import ETA, ETA_UNTRAINED, keeps_going
from raysearch.search.study import ENDED_BY, Study
from raysearch.search.surrogate import Observation, Surrogate
from raysearch.search.timing.deadlines import LATE, Deadlines
from raysearch.search.timing.foresight import Foresight
from raysearch.spec.budget import ENDLESS
from raysearch.spec.document import Spec
from raysearch.spec.space import Config, has_setting

ONE_THREAD = ThreadpoolController()
START_TRIALS = 6
"""Trials spread over the cost axis before a model of the error is trusted."""
MAX_LOST = 5
"""Attempts at a trial whose workers keep vanishing, before it counts as failed."""
SURELY = 2.0
"""A student that is foreseen to charge so many times what it may is refused without being measured."""
BATCH, ACCUMULATE = "training.batch_s", "training.accumulate"
MAX_LATE = 32
"""So many refusals as late while one trial is looked for end a search."""
MAX_REFUSED = 300
"""Suggestions in a row that may be over budget or known already, before the space counts as used up."""


class Searcher:
    """Runs the search on a study. One searcher at a time may write a study."""

    def __init__(
        self,
        spec: Spec,
        study: Study,
        teacher: AnyConfig,
        *,
        trials: int,
        say: Callable[[str], None],
        costs: Costs | None = None,
        deadlines: Deadlines | None = None,
        memory: Memory | None = None,
    ) -> None:
        """`trials`: how many to run in all. `costs`: costs of the same spec and teacher, known from another search.
        `deadlines`: what time allows; by default what the MACs of trials that have ended tell of a timeout. `memory`:
        what past searches say of the space.
        """
        self.spec = spec
        self.study = study
        self.trials = trials
        self.space = spec.search_space
        self._cost_names, self._error_names = costs_of(spec.objectives), errors_of(spec.objectives)
        self._say = say
        self._sampler, reason = choose_sampler(spec.search.sampler, trials)
        say(f"sampler: {self._sampler} ({reason})")
        self._again = deque(study.settle())
        counted = [record for record in study.records() if not record.refused and record.repeats is None]
        self._known = {_identity(record.config): record.number for record in counted}
        # Refused suggestions cost nothing, and do not count as trials.
        self._launched = len(counted)
        self._costs = costs or Costs(spec, teacher)
        # Pasts tell of one error: of two that of the first.
        self._surrogates = [Surrogate(self.space, None if at else memory) for at in range(len(self._error_names))]
        self._before = Known(self._ln_costs, self._ln_macs, self._feasible)
        self._memory = memory
        if memory:
            say(str(memory))
        self._deadlines = deadlines or Deadlines(spec, None, Foresight(spec, self._macs, trusted=False))
        self._halted = ""
        self.ended_by = ""
        """Why the search has ended before it has run all trials that were asked for. Empty if it has not."""
        if study.about.get(ENDED_BY):
            study.note(ENDED_BY, "")  # an earlier driver ended it, and this one goes on

    def suggest(self) -> Suggestion | None:
        """The next trial to run. Interrupted trials come first, under their old number.

        Raises: WorkError if nothing feasible is left to suggest; DiskFullError.
        """
        if self._halted:
            raise DiskFullError(self._halted)
        self._look_ahead()
        if self._again:
            number, config = self._again.popleft()
            if not self._deadlines.late(config, self._spent_s(number)):
                return self._launch(number, config)
            # It keeps its checkpoint, and a search that is resumed with more to spend goes on with it.
            self._end(f"trial {number} would not end within the budget")
            return self.suggest()
        if not self.ended_by and self._keeps_for_repeats():
            self._end("what is left is for running the front again")
        if self.ended_by or self._launched >= self.trials:
            return self._repeat()
        cause: str | None = None
        late = 0
        for _ in range(MAX_REFUSED):
            number, config, cause = self._ask()
            if cause is None:
                self._launched += 1
                self._known[_identity(config)] = number
                return self._launch(number, config)
            self.study.end(number, "infeasible", error=cause, cause="infeasible")
            late += cause.startswith(LATE)
            if late >= MAX_LATE:
                self._end("no other trial would end within the budget")
                return None
        if self.trials == ENDLESS:
            self._end(f"the space is used up: {MAX_REFUSED} suggestions in a row were refused (the last: {cause})")
            return None
        raise WorkError(
            f"{MAX_REFUSED} suggestions in a row were refused (the last: {cause}): the space "
            f"holds no more than {self._launched} feasible trials near what was asked; all finished trials are kept"
        )

    @property
    def ahead(self) -> bool:
        """Whether the next trial may be chosen while others run: neither results nor time left decide about it."""
        blind = self._sampler == "random" or (self._sampler == "ehvi" and self._memory is None and self._spreads)
        if self._deadlines or self.spec.search.stop or self.space.draws_shared or self._again:
            return False
        # What a device charges is measured when a trial is chosen, and a trial that runs would disturb that.
        return blind and not self.spec.charges and self._launched < self.trials

    @property
    def _spreads(self) -> bool:
        """Whether trials are still spread over the costs: as many as there are lanes begin before any has ended."""
        return self._launched < max(START_TRIALS, self.spec.workers.fewest_lanes)

    def _look_ahead(self) -> None:
        """Ends the search if not even a short trial would end within its budget, or its front stands still."""
        if self._deadlines:
            self._deadlines.foresight.learn(self.study.trials())
            if self._launched < self.trials and (reason := self._deadlines.no_more()):
                self._end(reason)
        if not self.ended_by and self._launched < self.trials and (reason := self._stands_still()):
            self._end(reason)

    def _keeps_for_repeats(self) -> bool:
        """Whether what is left of the budget is only enough for running the front again."""
        repeats, budget = self.spec.search.repeats, self._deadlines.budget
        if repeats is None or budget is None:
            return False
        left = repeats_left(self.study.records(), self.spec.objectives, repeats.seeds)
        each_s = [self._deadlines.foresight.seconds(dict(record.config)) or 0.0 for record in left]
        return bool(left) and budget.left_s <= sum(each_s) / self.spec.workers.fewest_lanes + max(each_s)

    def _repeat(self) -> Suggestion | None:
        """A member of the front again, under another seed. None if that is not asked for, or done."""
        repeats = self.spec.search.repeats
        if repeats is None:
            return None
        again = next_repeat(self.study.records(), self.spec.objectives, repeats.seeds)
        if again is None or self._deadlines.late(dict(again.config)):
            return None
        sampler = make_sampler("random", self.spec.search.seed, self.study.asked)
        number = self.study.repeat(again, self.space, sampler)
        return self._launch(number, dict(again.config))

    def _end(self, reason: str) -> None:
        """Ends the search before all trials have run. The first reason is kept, and told once."""
        if not self.ended_by:
            budget = self._deadlines.budget
            self.ended_by = f"{reason} ({budget})" if budget and budget.left_s else reason
            self.study.note(ENDED_BY, self.ended_by)
            self._say(f"the search ends: {self.ended_by}")

    def _spent_s(self, number: int) -> float:
        return self.study.record(number).metrics.get("cost/seconds", 0.0)

    def observe(self, number: int, updates: int, metrics: dict[str, float]) -> bool:
        """Keeps a rung's metrics. Returns whether the trial goes on.

        One that does not is stopped. At rung 0 it is complete: a student that is judged before its training is a whole
        model, and stays one without it.
        """
        others = self._at_rung(updates, number)
        self.study.report(number, updates, metrics)
        if self.spec.search.scheduler == "fifo" or self.study.record(number).repeats is not None:
            return True
        point = self._point(self.study.record(number), metrics)
        # Without an error at this rung there is nothing to compare: a pruned student has none before it is sliced.
        if any(map(math.isnan, point)):
            return True
        if keeps_going(point, others, costs=len(self._cost_names), eta=ETA if updates else ETA_UNTRAINED):
            return True
        self.study.end(number, "stopped" if updates else "complete")
        return False

    def complete(self, number: int, updates: int, metrics: dict[str, float]) -> None:
        """Keeps the metrics of the last rung and ends the trial. It has failed if one of its errors is not finite."""
        errors = [f"eval/{name}" for name in self._error_names]
        missing = [error for error in errors if not math.isfinite(metrics.get(error, math.nan))]
        with self.study.together():
            self.study.report(number, updates, metrics)
            if missing:
                self.study.end(number, "failed", error=f"{missing[0]} is missing or not finite", cause="nan")
            else:
                self.study.end(number, "complete")

    def fail(self, number: int, cause: str, error: str) -> None:
        """Takes in that a trial broke. What comes next depends on the cause.

        `lost` means that its workers vanished: it runs again from its checkpoint, and so it does after `drained`, which
        means that their machine is about to go, and is no attempt. After `oom`, out of memory, it runs
        again once, with half the batch and twice as many batches in an update. After `disk`, a full disk, it stays
        interrupted, and nothing more is suggested until there is room. Any other cause is final.
        """
        record = self.study.record(number)
        if record.state != "running":  # a trial that has ended keeps its state
            return
        again = (number, dict(record.config))
        if cause == DRAINED or (cause == "lost" and self.study.attempt(number) < MAX_LOST):
            self._again.append(again)
        elif cause == "oom" and not record.overrides and (halved := self._half_batch(again[1])):
            self._say(f"trial {number} ran out of memory; runs again with {_settings(halved)}")
            self.study.override(number, halved)
            self._again.append(again)
        elif cause == "timeout" and (budget := self._deadlines.budget) and budget.left_s == 0:
            self._end("the budget is spent")
        elif cause == "disk":
            self._halted = f"trial {number}: {error}"
        else:
            self.study.end(number, "failed", error=error, cause=cause)

    def _half_batch(self, config: Config) -> Config | None:
        method = str(config["method"])
        if not has_setting(method, BATCH):
            return None
        training = self.spec.settings(config).training
        if not has_setting(method, ACCUMULATE):
            return {BATCH: training.batch_s / 2}
        return {BATCH: training.batch_s / 2, ACCUMULATE: 2 * training.accumulate}

    def _launch(self, number: int, config: Config) -> Suggestion:
        record = self.study.record(number)
        trained_by = self._trained_by(record)
        # A student that is judged again has the seed that it was trained with.
        seed = derived_seed(self.spec.search.seed, number if trained_by is None else trained_by)
        spent_s = self._spent_s(number)
        return Suggestion(
            number,
            config,
            seed,
            record.overrides,
            spent_s,
            record.metrics.get("cost/cpu_seconds", 0.0),
            trained_by,
            self._deadlines.limit_s(config, spent_s),
        )

    def _trained_by(self, record: TrialRecord) -> int | None:
        """Number of a trial whose student this one can have, as the two differ in how it is shipped alone."""
        if record.trained_by is not None or record.repeats is not None or record.rung is not None:
            return record.trained_by
        if not self.space.draws_shared:
            return None
        wanted = self.spec.training_of(dict(record.config))
        last = self.spec.rung_updates(record.method)[-1]
        for other in self.study.records():
            own = other.trained_by is None and other.repeats is None
            trained = own and other.state == "complete" and other.rung == last
            if trained and self.spec.training_of(dict(other.config)) == wanted:
                self.study.share_training(record.number, other.number)
                return other.number
        return None

    def _ask(self) -> tuple[int, Config, str | None]:
        """A new trial of the study, its configuration, and the reason why it cannot be run, or None if it can."""
        sampler = make_sampler(self._sampler, self.spec.search.seed, self.study.asked)
        self._gain: float | None = None
        known = self._start() or (self._proposal(self.study.asked) if self._sampler == "ehvi" else None)
        with self.study.together():
            number, config = self.study.ask(self.space, sampler, known)
            if self.spec.search.stop and self._gain is not None:
                self.study.set_gain(number, self._gain)
            if self._memory:
                self.study.set_taus(number, self._memory.taus, self._memory.judged_on)
            cause = self._refusal(number, config)
        return number, config, cause or self._charged_too_much(number, config)

    def _start(self) -> Config | None:
        """The next of the start points that the document names, unless it was tried already."""
        start = self.spec.search.start
        if self._launched >= len(start):
            return None
        point = start[self._launched]
        tried = any(all(r.config.get(k) == v for k, v in point.items()) for r in self.study.records())
        return None if tried else dict(point)

    def _proposal(self, asked: int) -> Config:
        """A configuration: at first one that spreads trials over the costs, later one that the front gains from."""
        seed = derived_seed(self.spec.search.seed, asked)
        found = None
        if not self._spreads or self._knows_from_pasts():
            rng = np.random.default_rng(seed)
            # The matrices are small. More threads would only wait for each other and for those of the trials.
            with ONE_THREAD.limit(limits=1):
                found = propose(self.space, self._surrogates, self._observations(), self._before, rng)
        if found is None:
            return stratified(self.space, self._ln_costs, self._feasible, seed)
        self._gain = found.gain
        return found.config

    def _knows_from_pasts(self) -> bool:
        """Whether past searches have ranked the first trials of this one so well that no more need be spread."""
        if self._memory is None:
            return False
        seen = self._observations()[0]
        ended = [(one.config, one.ended) for one in seen if one.ended is not None]
        self._memory.fit([config for config, _ in ended], np.array([ln_error for _, ln_error in ended]))
        # The model is fitted last: where no past is believed, it must be that of a search without pasts.
        return self._memory.proved and self._surrogates[0].fit(seen) and self._surrogates[0].guided

    def _stands_still(self) -> str:
        """Why the front is taken to stand still: what the last suggestions promised. Empty if it moves, or may."""
        stop = self.spec.search.stop
        gains = self.study.gains()[-stop.suggestions :] if stop else []
        if stop is None or len(gains) < stop.suggestions:
            return ""
        if any(gain is None or gain >= stop.gain for gain in gains):
            return ""
        most = max(gain for gain in gains if gain is not None)
        return (
            f"the front stands still: each of the last {stop.suggestions} suggestions was expected to add less than "
            f"{stop.gain:.2%} to the hypervolume, at most {most:.2%}"
        )

    def _observations(self) -> list[list[Observation]]:
        """For each error, what its surrogate may learn from: the same trials in the same order."""
        trials = self.study.trials()
        means = {record.number: record for record in over_seeds([record for record, _ in trials])}
        seen = [
            [self._observation(record, rungs, means[record.number], name) for name in self._error_names]
            for record, rungs in trials
            # A trial that repeats another one: that one has the mean. A trial that failed for another reason, such as
            # lost workers, says nothing about its configuration.
            if record.repeats is None and record.state != "infeasible" and record.cause in (None, "nan", "oom")
        ]
        return [[trial[at] for trial in seen] for at in range(len(self._error_names))]

    def _observation(
        self, record: TrialRecord, rungs: dict[int, dict[str, float]], mean: TrialRecord, name: str
    ) -> Observation:
        """What a trial says of an error, as ln MACs and ln errors. `mean` has the mean of its errors over seeds."""
        config = dict(record.config)
        share = partial(self.spec.share, record.method)
        errors = {share(updates): metrics.get(f"eval/{name}", math.nan) for updates, metrics in rungs.items()}
        if record.state == "complete" and errors:
            errors[max(errors)] = objective_value(mean, name)
        # An error of zero has no logarithm.
        ln_error = {share: math.log(max(error, 0.1)) for share, error in errors.items() if math.isfinite(error)}
        # What ran out of memory twice would do so again. The surrogate shuns it as it shuns what diverges.
        diverged = record.state == "failed"
        return Observation(config, self._ln_macs(config), ln_error, diverged, record.state == "complete")

    def _ln_macs(self, config: Config) -> float:
        return math.log(self._macs(config))

    def _ln_costs(self, config: Config) -> list[float]:
        cost = self._costs(config)
        return [math.log(cost.of(name)) for name in self._cost_names]

    def _refusal(self, number: int, config: Config) -> str | None:
        try:
            self.spec.settings(config)
            self.spec.deploy_of(config)
            exact, foreseen = self._costs.exact(config), self._costs(config)
        except InputError as err:
            return str(err)
        if not exact.known:
            return f"{exact.macs_g} GMAC and {exact.params_m} M parameters; expected numbers"
        cause = self._known_cause(config, exact)
        if not cause and (surely := over_limit(self.spec, foreseen, SURELY)):
            cause = f"foreseen {surely}"
        # What is to be measured has no cost until then: a trial whose driver dies meanwhile is not taken up again.
        if cause or not self.spec.charges:
            self.study.set_cost(number, exact)
        return cause

    def _known_cause(self, config: Config, cost: Cost) -> str | None:
        if _identity(config) in self._known:
            return f"same settings as trial {self._known[_identity(config)]}"
        return over_limit(self.spec, cost) or self._deadlines.refusal(config) or None

    def _charged_too_much(self, number: int, config: Config) -> str | None:
        """Why a device charges too much for a configuration, which is measured now. None if it does not."""
        if not self.spec.charges:
            return None
        try:
            cost = self._costs.measured(config)
        except InputError as err:
            return str(err)
        self.study.set_cost(number, cost)
        return over_limit(self.spec, cost)

    def _feasible(self, config: Config) -> bool:
        try:
            within = over_limit(self.spec, self._costs(config)) is None
            return within and _identity(config) not in self._known and not self._deadlines.refusal(config)
        except InputError:
            return False

    def _macs(self, config: Config) -> float:
        return self._costs(config).macs_g

    def _at_rung(self, updates: int, number: int) -> list[tuple[float, ...]]:
        """Costs and errors of the other trials that have been at this rung.

        Methods may have budgets of their own, so that a rung is a share of a trial's budget.
        """
        method = self.study.record(number).method
        points = []
        for record, rungs in self.study.trials():
            near = [metrics for at, metrics in rungs.items() if self._same_rung(method, updates, record.method, at)]
            points += [self._point(record, metrics) for metrics in near if record.number != number]
        return [point for point in points if all(map(math.isfinite, point))]

    def _same_rung(self, method: str, updates: int, other: str, at: int) -> bool:
        """Whether the updates of a method's trial, and those of another one's, are the same rung."""
        if not (updates and at):
            return updates == at  # nothing is near a rung before the first update
        # Rungs are rounded to whole updates: shares within one update of each other are the same rung.
        smaller = min(self.spec.updates(method), self.spec.updates(other))
        return abs(self.spec.share(method, updates) - self.spec.share(other, at)) < 1 / smaller

    def _point(self, record: TrialRecord, metrics: dict[str, float]) -> tuple[float, ...]:
        at_rung = record.model_copy(update={"metrics": metrics})
        return tuple(objective_value(at_rung, name) for name in (*self._cost_names, *self._error_names))


def over_limit(spec: Spec, cost: Cost, times: float = 1.0) -> str | None:
    """Which limit a student is above, and by what. None if it keeps all that are known of it. `times` allows so many
    times as much as the limits."""
    limits = spec.constraints
    for limit, value, shown in (
        (limits.macs_g, cost.macs_g, "{:.1f} GMAC"),
        (limits.params_m, cost.params_m, "{:.2f} M parameters"),
        (limits.size_mb, cost.of("size"), "{:.3g} MB"),
        (limits.latency_ms, cost.of("latency"), "{:.3g} ms"),
    ):
        if limit is not None and value > times * limit:
            return f"{shown.format(value)}; at most {limit:g}"
    return None


def _settings(config: Config) -> str:
    return ", ".join(f"{key} {value:g}" for key, value in config.items())


def _identity(config: Config) -> str:
    return json.dumps(config, sort_keys=True)
