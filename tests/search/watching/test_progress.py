"""What a person reads when a search ends."""

from types import SimpleNamespace

from raysearch.front.trials import Cost, TrialRecord
from raysearch.search.watching.progress import Lines
from tests.search.made_up import spec_with


def closing_lines(*cuts_per_cluster: float, asked: int | None = None) -> list[str]:
    records = [
        TrialRecord(
            number=number,
            state="complete",
            config={"method": "unfused"},
            metrics={"eval/per": 10.0, "targets/cuts_per_cluster": cuts},
            cost=Cost(macs_g=1.0, params_m=1.0),
        )
        for number, cuts in enumerate(cuts_per_cluster)
    ]
    study = SimpleNamespace(records=lambda: records, about={"reference_point": [100.0, 100.0]})
    said: list[str] = []
    Lines(spec_with(), study, asked or len(records), said.append, clock=lambda: 0.0).close()
    return said


def test_few_cuts_a_cluster_then_said_once_with_the_trials():
    _, said = closing_lines(60.0, 10.0, 16.7)
    assert said.startswith("pseudo-labels of trials 1, 2: down to 10.0 cuts a cluster; at least 39 are advised")


def test_enough_cuts_a_cluster_then_nothing_is_said():
    assert len(closing_lines(39.0, 60.0)) == 1


def test_fewer_trials_asked_for_than_there_are_then_all_are_counted():
    (line,) = closing_lines(39.0, 60.0, 80.0, asked=1)
    assert line.endswith("3/3 trials")


def test_both_errors_are_told_at_a_rung():
    record = TrialRecord(
        number=3,
        state="complete",
        config={"method": "unfused"},
        metrics={"eval/per": 30.0, "eval/eer": 12.0},
        cost=Cost(macs_g=1.5, params_m=1.0),
        rung=100,
    )
    about = {"reference_point": [100.0, 100.0, 100.0]}
    study = SimpleNamespace(records=lambda: [record], record=lambda _: record, about=about)
    tasks = [{"kind": "phonemes"}, {"kind": "speaker"}]
    said: list[str] = []
    lines = Lines(spec_with(task=tasks, objectives=["macs", "per", "eer"]), study, 4, said.append, clock=lambda: 0.0)
    lines.heard("end", 3)
    assert said[0].startswith("trial   3  rung 100  complete  per  30.0 %  eer  12.0 %      1.5 GMAC  front 1")
