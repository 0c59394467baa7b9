"""Which setting decides an objective, on studies where that is known."""

import optuna

from raysearch.search.study import FEWEST_JUDGED, Study


def made(trials):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=optuna.samplers.RandomSampler(seed=0))
    study.set_metric_names(["macs", "wer"])
    study.optimize(lambda t: (t.suggest_float("width", 0, 1), t.suggest_float("lr", 0, 1)), n_trials=trials)
    return Study(study)


def test_setting_that_is_the_objective_has_nearly_all_of_its_importance():
    found = made(60).importances()
    assert found["macs"]["width"] > 0.8
    assert found["wer"]["lr"] > 0.8


def test_few_trials_have_no_importances():
    assert made(FEWEST_JUDGED - 1).importances() == {}
