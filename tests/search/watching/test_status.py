"""The status against sums done by hand."""

from math import nan

import pytest

from raysearch.errors import InputError, WorkError
from raysearch.front.document import SearchDocument
from raysearch.front.document import document as build_document
from raysearch.front.trials import Cost, SharedTraining, TrialRecord
from raysearch.search.watching.standing import Standing
from raysearch.search.watching.status import refuse_empty, search_status, status_lines
from tests.front.made_up_trials import trial as made_up_trial
from tests.search.made_up import spec_with

RUNS = Standing("running", "running")


def trial(number: int, state: str, seconds: float, rung: int | None, per: float, ended_s: float | None) -> TrialRecord:
    return TrialRecord.model_validate(
        {
            "number": number,
            "state": state,
            "config": {"method": "dicehubert"},
            "metrics": {"eval/per": per, "cost/seconds": seconds},
            "cost": Cost(macs_g=10.0 * (number + 1), params_m=1.0),
            "rung": rung,
            "started_s": 1000.0,
            "ended_s": ended_s,
        }
    )


def found() -> SearchDocument:
    trials = [
        trial(0, "complete", 40.0, 100, 50.0, 1040.0),
        trial(1, "stopped", 30.0, 50, 60.0, 1070.0),
        trial(2, "complete", 50.0, 100, 30.0, 1120.0),
        trial(3, "running", 10.0, 50, 40.0, None),
    ]
    return build_document("tiny", ["macs", "per"], trials, [100.0, 100.0])


def test_status_counts_time_spent_saved_and_left() -> None:
    status = search_status(found(), spec_with(workers={"lanes": 2}), asked=6, standing=RUNS, spent={})
    assert status["trials"] == {"complete": 2, "stopped": 1, "running": 1}
    assert status["worker_seconds"] == 130.0
    # Stopped after half of its budget: the other half would have taken as long.
    assert status["saved_seconds"] == 30.0
    # Three trials of 40 s are left, of which the running one has done 10 s, on two lanes.
    assert status["left_seconds"] == (3 * 40 - 10) / 2


def test_status_tells_apart_what_was_trained_before_the_trials() -> None:
    shared = SharedTraining(method="supernet", digest="ab", seconds=731.0, cpu_seconds=1402.0)
    document = found().model_copy(update={"shared": [shared]})
    status = search_status(document, spec_with(), asked=6, standing=RUNS, spent={})
    assert status["worker_seconds"] == 130.0
    assert status["shared"][0]["cpu_seconds"] == 1402.0
    lines = status_lines(status, long=True)
    assert "before the trials: supernet's training, 731 s (1402 core-seconds)" in lines


def test_status_shows_hypervolume_against_time() -> None:
    status = search_status(found(), spec_with(), asked=6, standing=RUNS, spent={})
    assert status["hypervolume_history"] == [(40.0, 90 * 50), (120.0, 90 * 50 + 70 * 20)]
    assert status["hypervolume"] == 90 * 50 + 70 * 20


def test_status_before_the_first_end_promises_nothing() -> None:
    document = build_document("tiny", ["macs", "per"], [trial(0, "running", 0.0, None, 1.0, None)], [100.0, 100.0])
    assert search_status(document, spec_with(), asked=6, standing=RUNS, spent={})["left_seconds"] is None


@pytest.mark.parametrize(("long", "lines"), [(False, 1), (True, 9)])
def test_status_for_people(long: bool, lines: int) -> None:
    shown = status_lines(search_status(found(), spec_with(), asked=6, standing=RUNS, spent={}), long=long)
    assert len(shown) == lines
    assert shown[0] == "tiny: 2 complete, 1 stopped, 1 running of 6; front 2, hypervolume 5900"


def test_search_of_which_all_trials_failed_is_no_success() -> None:
    lacking = {"state": "failed", "cause": "input", "error": "task phonemes: corpus c: none with phones"}
    broken = {"state": "failed", "cause": "user", "error": "Traceback\n  File x\nKeyError: 'no such thing'"}
    all_input, mixed = (
        [made_up_trial(0, 1.0, nan, **lacking), made_up_trial(1, 2.0, nan, **other)] for other in (lacking, broken)
    )
    with pytest.raises(
        InputError, match=r"^s: 2 of 2 trials failed, the first, trial 0: task phonemes: corpus c: none"
    ):
        refuse_empty(build_document("s", ["macs", "wer"], all_input, [1.0, 100.0]))
    with pytest.raises(WorkError, match=r"^s: 2 of 2 trials failed, the first, trial 0 \(input\): task phonemes"):
        refuse_empty(build_document("s", ["macs", "wer"], mixed, [1.0, 100.0]))
    with pytest.raises(WorkError, match=r"trial 1 \(user\): KeyError: 'no such thing'$"):
        refuse_empty(build_document("s", ["macs", "wer"], mixed[1:], [1.0, 100.0]))
    refuse_empty(build_document("s", ["macs", "wer"], [*mixed, made_up_trial(2, 3.0, 50.0)], [10.0, 100.0]))
    with pytest.raises(WorkError, match="none of 1 trial was run to its end"):
        refuse_empty(
            build_document("s", ["macs", "wer"], [made_up_trial(0, 1.0, 50.0, state="stopped")], [10.0, 100.0])
        )
