"""Tables of published points: the one that comes along, and those of users."""

import pytest

from raysearch.errors import InputError
from raysearch.front.published import SETS, TABLE, published_points, read_points

HEAD = "name,task,metric,error,macs_g,macs_of,params_m,teacher,source\n"
GOOD = "ours,phonemes:an4,per,19.5,5.1,superb-32,0.4,,report 7\n"
METRICS = {"superb-pr": "per", "superb-asr": "wer", "superb-asv": "eer", "vox1-o": "eer"}


@pytest.mark.parametrize("name", SETS)
def test_every_set_has_points_of_its_tasks_alone(name):
    points = published_points(name)
    assert {point.task for point in points} == set(SETS[name])
    assert all(point.metric == METRICS[point.task] for point in points)


def test_every_point_that_comes_along_belongs_to_a_set_and_has_a_cost():
    points = read_points(TABLE)
    assert len(points) == sum(len(published_points(name)) for name in SETS)
    assert [point.name for point in points if point.macs_g is None and point.params_m is None] == []


def test_figures_are_those_in_print():
    known = {(point.name, point.metric): point for point in published_points("superb")}
    base, small = known["HuBERT Base", "wer"], known["ARMHuBERT-S", "eer"]
    assert (base.error, base.macs_g, base.params_m) == (6.42, 1669, 94.7)
    assert (small.error, small.macs_g, small.params_m, small.teacher) == (5.58, 449.4, 22.39, "HuBERT Base")
    assert known["MaskHuBERT", "per"].macs_g is None


def test_table_of_a_user_is_read_as_excel_saves_it(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_bytes(b"\xef\xbb\xbf" + (HEAD + GOOD).replace(",", ";").replace("\n", "\r\n").encode())
    (point,) = published_points(str(file))
    assert (point.name, point.error, point.params_m, point.teacher) == ("ours", 19.5, 0.4, "")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("ours,phonemes:an4,per,x,5.1,superb-32,0.4,,r", "line 2: error: 'x'; expected a valid number"),
        ("ours,phonemes:an4,per,nan,5.1,superb-32,0.4,,r", "line 2: error: 'nan'; expected a finite number"),
        ("ours,phonemes:an4,per,,5.1,superb-32,0.4,,r", "line 2: error: missing; expected a value"),
        ("ours,phonemes:an4,der,1,5.1,superb-32,0.4,,r", "line 2: metric: 'der'; expected 'wer', 'per', 'eer' or"),
        ("ours,phonemes:an4,per,1,5.1,,0.4,,r", "line 2: macs_of: empty; expected what the MACs are summed over"),
        ("ours,vox1-p,per,1,5.1,1 s,0.4,,r", r"line 2: task: 'vox1-p'; .*\(did you mean vox1-o\?\)"),
        ("ours,phonemes:an4,per,1,-2,1 s,0.4,,r", "line 2: macs_g: '-2'; expected greater than or equal to 0"),
        ("ours,phonemes:an4,per,1,2,1 s,0.4,,", "line 2: source: missing; expected a value"),
        ("ours,phonemes:an4,per,1,2,1 s,0.4,,r,,5", "line 2: 11 cells; expected 9"),
        (GOOD + GOOD, "line 3: ours on phonemes:an4 as on line 2; expected each model once"),
    ],
)
def test_wrong_row_is_told_by_file_and_line(row, fault, tmp_path):
    (tmp_path / "mine.csv").write_text(HEAD + row)
    with pytest.raises(InputError, match=rf"^--published: {tmp_path / 'mine.csv'}: {fault}"):
        published_points(str(tmp_path / "mine.csv"))


def test_table_without_a_column_is_told_which(tmp_path):
    (tmp_path / "mine.csv").write_text("name,task,metric,error\nours,phonemes:an4,per,3\n")
    with pytest.raises(InputError, match=r"mine\.csv: no column macs_g; expected name, task, metric, error, macs_g,"):
        published_points(str(tmp_path / "mine.csv"))


def test_set_that_is_misspelt_is_told_the_nearest_one():
    with pytest.raises(InputError, match=r"^--published: superbb: no such file; .*\(did you mean superb\?\)$"):
        published_points("superbb")
