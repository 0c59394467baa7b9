"""The curve file: what a resumed run keeps of it."""

import json

from raysearch.training.monitoring.curve import Curve


def write(path, *steps):
    curve = Curve(path)
    for step in steps:
        curve.append(step, step / 2, {"train/loss": float(step)})
    return curve


def steps(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_keep_to_a_step_then_later_lines_go_and_the_last_metrics_return(tmp_path):
    path = tmp_path / "curve.jsonl"
    assert write(path, 50, 100, 150).keep_to(100) == {"train/loss": 100.0}
    assert steps(path) == [50, 100]


def test_keep_to_with_a_torn_last_line_then_it_goes(tmp_path):
    path = tmp_path / "curve.jsonl"
    curve = write(path, 50)
    with path.open("a") as file:
        file.write('{"step": 100, "sec')
    assert curve.keep_to(500) == {"train/loss": 50.0}
    curve.append(100, 1.0, {})
    assert steps(path) == [50, 100]


def test_keep_to_without_a_file_then_nothing(tmp_path):
    assert Curve(tmp_path / "curve.jsonl").keep_to(10) == {}
