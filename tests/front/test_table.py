import pytest

from raysearch.front.document import document
from raysearch.front.table import markdown_table, search_line, text_table
from raysearch.front.trials import Cost
from tests.front.made_up_trials import trial

# The sample of the command line: written by hand, not by the code.
EXPECTED = """\
dicehubert-an4: 5 trials (3 complete, 1 stopped, 1 infeasible), front 3, hypervolume 26606 at (400 GMAC, 100 % WER)
 trial  method        depth  width   MACs G  params M   WER %   95 % interval
    12  dicehubert        2    128     42.1       1.9    31.4     28.0 - 35.1
     7  distilhubert      2    192     66.0       3.2    30.9     27.4 - 34.6  ~
    19  dicehubert        4    256    118.3       8.8    24.2     21.3 - 27.5
~ within noise of a cheaper trial"""


def made(number, method, depth, width, macs_g, params_m, wer, low, high, **kept):
    config = {"method": method, "student.depth": depth, "student.width": width, "training.lr": 5e-4}
    metrics = {"eval/wer": wer, "eval/wer_low": low, "eval/wer_high": high} | kept.pop("extra", {})
    return trial(number, 0, 0, config=config, metrics=metrics, cost={"macs_g": macs_g, "params_m": params_m}, **kept)


def example(extra=None):
    trials = [
        made(12, "dicehubert", 2, 128, 42.1, 1.9, 31.4, 28.0, 35.1, extra=extra or {}),
        made(7, "distilhubert", 2, 192, 66.0, 3.2, 30.9, 27.4, 34.6),
        made(19, "dicehubert", 4, 256, 118.3, 8.8, 24.2, 21.3, 27.5),
        made(3, "dicehubert", 9, 512, 300, 30, 50, 40, 60, state="stopped"),
        made(4, "dicehubert", 12, 768, 900, 90, 50, 40, 60, state="infeasible"),
    ]
    return document("dicehubert-an4", ["macs", "wer"], trials, [400, 100])


def test_text_table_of_the_worked_example():
    assert text_table(example()) == EXPECTED


def test_test_error_has_a_column_when_measured():
    head, first, second = text_table(example({"test/wer": 33.3})).splitlines()[1:4]
    assert head.rstrip().endswith("test WER %")
    assert first.rstrip().endswith("33.3")
    assert second.rstrip().endswith("-  ~")


def test_markdown_rows_have_equal_cells():
    rows = [line for line in markdown_table(example()).splitlines() if line.startswith("|")]
    assert len(rows) == 5
    assert len({row.count("|") for row in rows}) == 1


def test_settings_with_one_last_word_keep_their_full_key():
    configs = ({"method": "m", "a.lr": 1, "b.lr": 2}, {"method": "m", "a.lr": 2, "b.lr": 1})
    trials = [trial(i, 1 + i, 9 - i, config=config) for i, config in enumerate(configs)]
    head = text_table(document("s", ["macs", "wer"], trials, [9, 9])).splitlines()[1]
    assert head.split()[2:4] == ["a.lr", "b.lr"]


@pytest.mark.parametrize(
    ("eer", "shown"),
    [((0.984, 5.84), ["0.984", "5.840"]), ((4.25, 5.84), ["4.25", "5.84"]), ((31, 42), ["31.0", "42.0"])],
)
def test_errors_show_three_digits_of_the_lowest(eer, shown):
    trials = [trial(i, 9 - i, 0, metrics={"eval/eer": e}) for i, e in enumerate(eer)]
    lines = text_table(document("s", ["macs", "eer"], trials, [9, 99])).splitlines()
    assert [line.split()[4] for line in lines[2:4]] == shown[::-1]


def test_search_line_of_an_empty_search():
    assert search_line(document("s", ["macs", "eer"], [], [400, 50])) == (
        "s: 0 trials, front 0, hypervolume 0 at (400 GMAC, 50 % EER)"
    )
    assert text_table(document("s", ["macs", "eer"], [], [400, 50])).count("\n") == 1


def test_narrow_table_leaves_out_what_can_be_spared_and_says_so():
    narrow = text_table(example({"test/wer": 33.3}), width=72).splitlines()
    assert all(len(line) <= 72 for line in narrow[1:])
    assert narrow[1].split() == ["trial", "method", "depth", "width", "MACs", "G", "WER", "%", "95", "%", "interval"]
    assert narrow[-2:] == ["left out: params M, test WER %; --wide shows all", "~ within noise of a cheaper trial"]
    assert text_table(example(), width=200) == EXPECTED
    # What a front is about always stays.
    assert text_table(example(), width=10).splitlines()[1].split() == ["trial", "method", "MACs", "G", "WER", "%"]


def test_table_of_all_trials_has_their_states_and_marks_the_front():
    failed = made(5, "dicehubert", 1, 128, 9, 1, float("nan"), float("nan"), float("nan"), state="failed")
    found = document("s", ["macs", "wer"], [*example().trials, failed], [400, 100])
    rows = {int(line.split()[0]): line for line in text_table(found, every=True).splitlines()[2:-1]}
    assert sorted(rows) == list(rows) == [3, 4, 5, 7, 12, 19]
    assert [number for number, row in rows.items() if row.endswith(("front", "front ~"))] == [7, 12, 19]
    assert rows[5].split() == ["5", "failed", "dicehubert", "1", "128", "9.0", "1.0", "-", "-"]
    assert "| infeasible |" in markdown_table(found, every=True)


def test_latency_stands_with_its_spread_and_leads_the_front():
    cost = {"macs_g": 40.0, "params_m": 2.0, "size_mb": 7.61, "latency_low_ms": 7.9, "latency_high_ms": 9.4}
    quick = trial(1, 0, 30.0, cost=Cost(**cost, latency_ms=8.31))
    # Fewer MACs, but dearer by the clock, and no better.
    slow = trial(2, 0, 30.5, cost=Cost(**cost | {"macs_g": 20.0}, latency_ms=12.0))
    found = document("quick", ["latency", "wer"], [quick, slow], [60, 100])
    assert found.front == [1]
    assert document("quick", ["macs", "wer"], [quick, slow], [60, 100]).front == [2, 1]
    head, row = text_table(found).splitlines()[1:]
    assert head.split("  ")[-1].strip() == "95 % interval"
    assert " size MB  latency ms     5 - 95 %   WER %" in head
    assert "    7.61        8.31  7.90 - 9.40  " in row
    assert search_line(found).endswith("at (60 ms, 100 % WER)")
