"""A searcher with a bench that is made up: what is proposed is measured once, and limits on size and latency hold."""

from typing import Any

import pytest

from raysearch.front.trials import Cost
from raysearch.search.charging.charges import Charges
from raysearch.search.costs import Costs, reference_point
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.spec.document import Spec
from tests.search.charging.fake_bench import FakeBench, megabytes, milliseconds
from tests.search.made_up import TEACHER, run, spec_with


def searcher_of(spec: Spec, journal: str, bench: FakeBench) -> Searcher:
    try:
        study = Study.open(journal, spec.name)
    except KeyError:
        study = Study.create(journal, spec.name, spec.objectives, {})
    costs = Costs(spec, TEACHER, Charges(bench, spec.measured_on))
    return Searcher(spec, study, TEACHER, trials=spec.search.trials, say=lambda _: None, costs=costs)


def latency_spec(**changes: Any) -> Spec:
    return spec_with(objectives=["latency", "per"], **changes)


def test_what_is_proposed_is_measured_once_for_each_shape(journal: str) -> None:
    spec, bench = latency_spec(search={"trials": 14, "updates": 100}), FakeBench()
    searcher = searcher_of(spec, journal, bench)
    run(searcher)
    records = [record for record in searcher.study.records() if record.state == "complete"]
    assert len(records) == 14
    for record in records:
        student = spec.student_config(record.config, TEACHER)
        assert record.cost.latency_ms == milliseconds(student)
        assert record.cost.spread == (0.9 * milliseconds(student), 1.2 * milliseconds(student))
        assert record.cost.size_mb == megabytes(student, "fp32")
    shapes = {student.model_dump_json() for student, _ in bench.asked}
    assert len(bench.asked) == len(shapes) <= len(searcher.study.records())


def test_a_point_above_a_limit_is_refused_when_it_is_suggested(journal: str) -> None:
    start = [{"student.depth": 6, "student.width": 64}, {"student.depth": 1, "student.width": 64}]
    deep, shallow = (
        milliseconds(spec_with().student_config({"method": "dicehubert", **point}, TEACHER)) for point in start
    )
    limit = (deep + shallow) / 2
    spec = latency_spec(constraints={"latency_ms": limit}, search={"trials": 6, "updates": 100, "start": start})
    searcher = searcher_of(spec, journal, FakeBench())
    run(searcher)
    first, *others = searcher.study.records()
    assert (first.state, first.cause) == ("infeasible", "infeasible")
    assert first.error == f"{deep:.3g} ms; at most {limit:g}"
    complete = [record for record in others if record.state == "complete"]
    assert len(complete) == 6
    assert all(record.cost.of("latency") <= limit for record in complete)


def test_far_above_a_limit_nothing_is_measured(journal: str) -> None:
    start = [{"student.depth": 6, "student.width": 256}]
    small = {"heads": 4, "front_end": "logmel-25hz", "channels": 16}
    search = {"trials": 2, "updates": 100, "start": start}
    spec = spec_with(constraints={"size_mb": 1.0}, student=small, search=search)
    bench = FakeBench()
    searcher = searcher_of(spec, journal, bench)
    run(searcher)
    first = searcher.study.records()[0]
    assert first.error is not None
    assert first.error.startswith("foreseen ")
    assert first.error.endswith(" MB; at most 1")
    assert first.cost.size_mb is None
    assert all(student.depth < 6 or student.width < 256 for student, _ in bench.asked)


def test_a_driver_that_died_while_it_measured_leaves_no_trial_behind(journal: str) -> None:
    class Dies(FakeBench):
        def measure(self, student: Any, precision: Any) -> Any:
            raise KeyboardInterrupt

    spec = latency_spec()
    with pytest.raises(KeyboardInterrupt):
        searcher_of(spec, journal, Dies()).suggest()
    searcher = searcher_of(spec, journal, FakeBench())
    (record,) = searcher.study.records()
    assert (record.state, record.cause) == ("failed", "lost")
    run(searcher)
    assert sum(record.state == "complete" for record in searcher.study.records()) == 6


def test_a_resumed_search_measures_no_shape_again(journal: str) -> None:
    spec, bench = latency_spec(search={"trials": 8, "updates": 100}), FakeBench()
    run(searcher_of(spec, journal, bench), until=5)
    known = [(student, precision, bench.measure(student, precision)) for student, precision in list(bench.asked)]
    again = FakeBench(known)
    run(searcher_of(spec, journal, again))
    old = {student.model_dump_json() for student, *_ in known}
    assert again.asked
    assert not old & {student.model_dump_json() for student, _ in again.asked}


def test_a_student_that_cannot_be_measured_is_refused(journal: str) -> None:
    searcher = searcher_of(latency_spec(), journal, FakeBench(fault="device.seconds: 40; expected at most 30"))
    number, _, cause = searcher._ask()
    assert cause == "device.seconds: 40; expected at most 30"
    assert not searcher.study.record(number).cost.known


def test_precision_decides_the_size(journal: str) -> None:
    spec = spec_with(
        objectives=["size", "per"],
        space={"student.depth": {"int": [1, 6]}, "deploy.precision": {"choice": ["fp32", "int8"]}},
        targets={"clusters": 50},
    )
    costs = Costs(spec, TEACHER, Charges(FakeBench(), spec.measured_on))
    big, small = (
        costs.measured({"method": "dicehubert", "student.depth": 4, "deploy.precision": precision})
        for precision in ("fp32", "int8")
    )
    assert big.of("size") > 3 * small.of("size")
    assert big.latency_ms is None or big.latency_ms > 0


def test_reference_point_lies_beyond_the_space() -> None:
    spec = spec_with(objectives=["size", "per"])
    charges = Charges(FakeBench(), spec.measured_on)
    costs = Costs(spec, TEACHER, charges)
    config = {"method": "dicehubert", "student.depth": 6, "student.width": 256}
    costs.measured(config)
    worst, percent = reference_point(spec, costs)
    assert percent == 100.0
    assert worst == pytest.approx(1.05 * costs(config).of("size"), rel=0.01)
    limited = spec_with(objectives=["size", "per"], constraints={"size_mb": 0.8})
    assert reference_point(limited, Costs(limited, TEACHER, charges)) == [0.8, 100.0]


def test_costs_that_nobody_asked_for_are_not_written() -> None:
    assert Cost(macs_g=1.0, params_m=2.0).model_dump() == {"macs_g": 1.0, "params_m": 2.0}
    whole = Cost(macs_g=1.0, params_m=2.0, size_mb=3.0, latency_ms=4.0, latency_low_ms=3.5, latency_high_ms=5.0)
    assert Cost(**whole.model_dump()) == whole
    assert whole.text == "1 GMAC, 2 M parameters, 3 MB, 4 ms"
