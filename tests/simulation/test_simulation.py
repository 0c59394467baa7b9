"""Simulated searches against clocks and areas worked out by hand."""

import math
from pathlib import Path

import pytest

from raysearch.errors import InputError
from raysearch.files.gzipped import write_gzip
from raysearch.lanes.source import Suggestion
from raysearch.simulation.made_up import DOCUMENT, SLICED, SyntheticTable, synthetic_table
from raysearch.simulation.recorded import Point, RecordedTable, Row, read_table, read_table_of, rows_of, write_table
from raysearch.simulation.replay import load_table, replay
from raysearch.simulation.simulation import history, ln_cost_hypervolume, searcher_on, simulate, time_to
from raysearch.spec.loading import parse_spec
from raysearch.storage.folder import Links, SearchFolder


class Listed:
    """A driver that suggests the rows of a table in order and stops none, or all."""

    def __init__(self, table: RecordedTable, goes_on: bool = True) -> None:
        self._left = list(enumerate(table.rows))
        self._goes_on = goes_on
        self.heard: list[tuple[str, int]] = []

    def suggest(self) -> Suggestion | None:
        if not self._left:
            return None
        number, row = self._left.pop(0)
        return Suggestion(number, row.config, seed=number)

    def observe(self, number: int, updates: int, metrics: dict[str, float]) -> bool:
        self.heard.append(("observe", number))
        return self._goes_on

    def complete(self, number: int, updates: int, metrics: dict[str, float]) -> None:
        self.heard.append(("complete", number))

    def fail(self, number: int, cause: str, error: str) -> None:
        self.heard.append((cause, number))


def recorded() -> RecordedTable:
    table = synthetic_table(0)
    base = {"method": "hjpruning", "training.lr": 1e-3}
    rows = [
        Row({**base, "pruning.macs_ratio": 0.2}, (Point(1 / 3, 10.0, 60.0), Point(1.0, 30.0, 50.0)), truth=50.0),
        Row({**base, "pruning.macs_ratio": 0.4}, (Point(1 / 3, 20.0, 50.0), Point(1.0, 60.0, 30.0)), truth=30.0),
        Row({**base, "pruning.macs_ratio": 0.6}, (Point(1 / 3, 20.0, 50.0),), diverged_s=40.0),
    ]
    return RecordedTable(table.spec, table.teacher, (1600.0, 100.0), rows)


def test_one_worker_runs_trials_one_after_the_other() -> None:
    driver = Listed(recorded())
    ended = simulate(recorded(), driver, workers=1, seed=0)
    assert [(trial.time_s, trial.state) for trial in ended] == [(30, "complete"), (90, "complete"), (130, "failed")]
    assert driver.heard == [
        ("observe", 0), ("complete", 0), ("observe", 1), ("complete", 1), ("observe", 2), ("nan", 2)
    ]  # fmt: skip


def test_two_workers_start_the_next_when_one_is_free() -> None:
    ended = simulate(recorded(), Listed(recorded()), workers=2, seed=0)
    assert [(trial.time_s, trial.state) for trial in ended] == [(30, "complete"), (60, "complete"), (70, "failed")]


def test_stopped_trial_frees_its_worker_at_the_rung() -> None:
    ended = simulate(recorded(), Listed(recorded(), goes_on=False), workers=1, seed=0)
    assert [(trial.time_s, trial.seconds, trial.state) for trial in ended] == [
        (10, 10, "stopped"), (30, 20, "stopped"), (50, 20, "stopped")
    ]  # fmt: skip


def test_budget_is_shared_by_the_workers() -> None:
    ended = simulate(recorded(), Listed(recorded()), workers=2, seed=0, budget_s=130.0)
    assert [trial.time_s for trial in ended] == [30, 60]


def test_hypervolume_is_in_ln_cost_and_error() -> None:
    assert ln_cost_hypervolume([(10.0, 40.0)], (100.0, 90.0)) == pytest.approx(math.log(10) * 50)
    assert ln_cost_hypervolume([(10.0, 40.0), (1.0, 80.0)], (100.0, 90.0)) == pytest.approx(math.log(10) * 60)
    assert ln_cost_hypervolume([(200.0, 40.0)], (100.0, 90.0)) == 0.0


def test_history_counts_the_seconds_of_all_workers() -> None:
    ended = simulate(recorded(), Listed(recorded()), workers=2, seed=0)
    steps = history(ended, 2, (1600.0, 100.0))
    assert [spent for spent, _ in steps] == [60.0, 120.0]
    assert time_to(steps, steps[0][1] + 1e-6) == 120.0
    assert time_to(steps, steps[1][1] * 2) == math.inf


def test_written_table_is_read_back(tmp_path: Path) -> None:
    table = recorded()
    write_table(table, tmp_path / "t.jsonl.gz")
    again = read_table(tmp_path / "t.jsonl.gz")
    assert again.rows[:2] == table.rows[:2]
    assert again.rows[2].diverged_s == 40.0
    assert (again.spec, again.teacher, again.reference_point) == (table.spec, table.teacher, table.reference_point)


@pytest.mark.parametrize("content", [b"", b"no JSON\n", b"[1]\n", b'{"raysearch_table": 0}\n'])
def test_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    write_gzip(tmp_path / "t.jsonl.gz", content)
    with pytest.raises(InputError, match=r"t\.jsonl\.gz: .+; expected a table written by: raysearch table"):
        read_table(tmp_path / "t.jsonl.gz")


def test_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory; expected a table written by: raysearch table"):
        read_table(tmp_path / "t.jsonl.gz")


def test_unknown_configuration_is_the_nearest_of_its_method() -> None:
    row = recorded().row({"method": "hjpruning", "training.lr": 1e-3, "pruning.macs_ratio": 0.3}, seed=0)
    assert row.config["pruning.macs_ratio"] in (0.2, 0.4)


def test_synthetic_table_is_a_function_of_its_seed() -> None:
    config = {"method": "hjpruning", "training.lr": 1e-3, "pruning.macs_ratio": 0.4}
    rows = [synthetic_table(seed).row(config, seed=5) for seed in (3, 3, 4)]
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]
    assert all(point.share > SLICED for point in rows[0].points)


def test_searches_on_synthetic_tables_end_as_they_should() -> None:
    table = synthetic_table(0)
    driver = searcher_on(table, "ehvi", "pareto-asha", workers=4, seed=0, trials=14)
    ended = simulate(table, driver, workers=4, seed=0)
    assert len(ended) == 14
    records = driver.study.records()
    assert {record.state for record in records} <= {"complete", "stopped", "failed"}
    error = driver.spec.objectives[1]
    complete = sum(record.state == "complete" for record in records)
    assert (
        len([row for row in rows_of(driver.study.trials(), error, driver.spec) if row.diverged_s is None]) == complete
    )


@pytest.mark.parametrize("rungs", [[0.0], [0.0, 1.0]], ids=str)
def test_what_is_left_at_rung_zero_is_complete_and_untrained(rungs: list[float]) -> None:
    spec = parse_spec(
        {
            **DOCUMENT,
            "method": "tests.search.fake_method:Ready",
            "space": {"student.depth": {"int": [1, 12]}, "student.width": {"choice": [96, 192, 384]}},
            "search": {"updates": 100, "rungs": rungs},
        },
        where="untrained",
    )
    table = SyntheticTable(0, spec)
    ended = simulate(table, searcher_on(table, "random", "pareto-asha", 2, 0, trials=24), workers=2, seed=0)
    assert [trial.state for trial in ended] == ["complete"] * 24
    left = [trial for trial in ended if trial.error != table.row(trial.config, 0).truth]
    assert (len(left) == 24) == (rungs == [0.0])
    assert len(left) > 12
    assert all(trial.error == table.row(trial.config, 0).points[0].error for trial in left)


def test_replay_is_the_same_each_time() -> None:
    found = [
        replay(load_table("synthetic:1"), "random", "fifo", workers=2, trials=5, budget_s=None, seeds=2)
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert [sum(one["trials"].values()) for one in found[0]] == [5, 5]


def test_replay_of_an_unknown_sampler_is_refused() -> None:
    with pytest.raises(InputError, match="--sampler: 'best'; expected one of auto, ehvi"):
        replay(load_table("synthetic:1"), "best", "fifo", workers=2, trials=5, budget_s=None, seeds=1)


def test_search_with_three_objectives_makes_no_table(tmp_path: Path) -> None:
    folder = SearchFolder(tmp_path, "three")
    folder.create(
        parse_spec({**DOCUMENT, "objectives": ["macs", "params", "per"]}, where="three.yaml"),
        Links(study="", tracking=""),
    )
    with pytest.raises(InputError, match="three: objectives: macs, params, per; expected a cost and an error"):
        read_table_of([folder])
