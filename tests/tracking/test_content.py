from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from raysearch.errors import InputError
from raysearch.front.document import SearchDocument
from raysearch.tracking import content
from raysearch.tracking.content import MOST_POINTS, search_digest, search_points, thin, trial_points, trial_tags
from tests.front.damaged import damaged_documents
from tests.tracking.made_up_states import curve, record, state


@given(st.integers(1, 30_000), st.lists(st.integers(1, 30_000), max_size=30))
@settings(deadline=None)
def test_thinned_growing_curve_stays_within_the_limit_and_ends_with_its_last_step(lines, looks):
    kept = set()
    for length in sorted(look for look in looks if look <= lines):
        kept |= thin(range(length), kept, running=True)
    kept |= thin(range(lines), kept, running=False)
    assert len(kept) <= MOST_POINTS
    assert lines - 1 in kept


@given(st.integers(1, 30_000))
@settings(deadline=None)
def test_thinned_curve_is_even(lines):
    steps = sorted(thin(range(lines), set(), running=False))
    gaps = {b - a for a, b in pairwise(steps[:-1])}
    assert len(gaps) <= 1
    assert steps[0] == 0
    assert len(steps) > min(lines, MOST_POINTS) // 2 - 1


def test_short_curve_is_kept_whole():
    assert thin([5, 10, 15], set(), running=False) == {5, 10, 15}
    assert thin([5, 10, 15], set(), running=True) == {5, 10, 15}


def test_repeated_step_takes_the_later_line():
    lines = [*curve(3), {"step": 20, "seconds": 9.0, "metrics": {"train/loss": 77.0}}]
    assert trial_points(record(0), lines, set())["train/loss", 20] == (77.0, 9.0)


def test_metrics_stand_at_their_rung_and_cost_at_zero():
    points = trial_points(record(0, rung=100), curve(10), set())
    assert points["eval/wer", 100] == (40.0, 9.0)
    assert points["cost/macs_g", 0].value == 40.0


def test_size_and_latency_are_metrics_where_the_search_knows_them():
    one = record(3, "complete")
    charged = one.model_copy(update={"cost": one.cost.model_copy(update={"size_mb": 7.5, "latency_ms": 8.25})})
    kept = {key: point.value for (key, _), point in trial_points(charged, [], set()).items() if key.startswith("cost/")}
    assert (kept["cost/size_mb"], kept["cost/latency_ms"]) == (7.5, 8.25)
    assert not {"cost/size_mb", "cost/latency_ms"} & {key for key, _ in trial_points(one, [], set())}


def test_running_trial_before_its_first_rung_has_curves_only():
    points = trial_points(record(0, "running", rung=None), curve(2), set())
    assert {key for key, _ in points} == {"train/loss", "train/lr", "cost/macs_g", "cost/params_m"}


def test_search_points_are_one_an_ended_trial():
    points = search_points(state([record(0), record(1), record(2, "running")]).document)
    # 60 squares of 360 to 40 %, then 10 more GMAC dearer and 2 % better.
    assert points["search/hypervolume", 1] == (360 * 60, 90)
    assert points["search/hypervolume", 2] == (360 * 60 + 350 * 2, 190)
    assert points["search/front_size", 2] == (2, 190)
    assert len(points) == 4


def test_tags_say_what_the_front_and_the_study_say():
    made = state([record(0), record(1, wer=90, state="failed", cause="oom", error="out of memory")]).document
    tags = trial_tags(made, made.trials[1], "parent")
    assert tags["raysearch.pareto"] == "false"
    assert tags["raysearch.cause"] == "oom"
    assert "out of memory" in tags["mlflow.note.content"]
    assert trial_tags(made, made.trials[0], "parent")["raysearch.pareto"] == "true"
    assert "raysearch.cause" not in trial_tags(made, made.trials[0], "parent")


def test_search_digest_changes_when_a_trial_ends_only():
    first = search_digest(state([record(0), record(1, "running")]).document)
    assert search_digest(state([record(0), record(1, "running", wer=1.0)]).document) == first
    assert search_digest(state([record(0), record(1)]).document) != first


@given(damaged_documents())
@settings(max_examples=100, derandomize=True, deadline=None)
def test_damaged_document_is_refused_or_mirrored(text):
    try:
        document = SearchDocument.checked_json(text)
    except InputError:
        return
    search_points(document)
    search_digest(document)
    for trial in document.trials:
        trial_tags(document, trial, "parent")
        content.trial_params(trial)
        trial_points(trial, curve(3), set())
        content.trial_digest(trial)
