"""How far work is, by a clock that is turned by hand."""

from __future__ import annotations

from raysearch.training.monitoring.progress import Step, Watch, counted, heard_by, tell


def test_rate_is_of_what_was_done_since_the_first_word():
    now = [100.0]
    watch = Watch(lambda: now[0])
    with heard_by(watch):
        tell("training", 40, 200)
        assert watch.step == Step("training", 40, 200, "updates")
        now[0] = 110.0
        tell("training", 60, 200, loss=2.5)
    assert watch.step == Step("training", 60, 200, "updates", 2.5, rate=2.0)
    assert watch.step.left_s == 70.0
    assert str(watch.step) == "training 60/200 updates, loss 2.5, 2/s, 70 s left"


def test_next_step_and_one_that_begins_anew_have_rates_of_their_own():
    now = [0.0]
    watch = Watch(lambda: now[0])
    with heard_by(watch):
        tell("head", 0, 10)
        now[0] = 5.0
        tell("head", 10, 10)
        tell("head", 1, 10)
        assert watch.step.rate is None
        tell("training", 7, 10)
        assert watch.step.rate is None


def test_items_count_as_done_when_the_next_is_asked_for():
    heard = []
    with heard_by(lambda name, done, total, unit, loss: heard.append((done, total, unit))):
        items = counted("abc", "labels", 3)
        assert next(items) == "a"
        assert heard == [(0, 3, "cuts")]
        assert list(items) == ["b", "c"]
    assert heard == [(done, 3, "cuts") for done in range(4)]
    tell("labels", 9, 9)  # nobody listens any more
    assert len(heard) == 4
