"""Writes a front as a plain table, which can be read without colour, and as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10
from textwrap import wrap
from typing import Any

from raysearch.front.document import SearchDocument
from raysearch.front.front import Mark
from raysearch.front.objective import COSTS, header, interval, unit, value
from raysearch.front.trials import SharedTraining, TrialRecord

STATES = ("complete", "stopped", "infeasible", "failed", "running", "interrupted")
SEPARATOR = "  "
"""What stands between two columns."""
NOISE_NOTE = "~ within noise of a cheaper trial"
PAIRS_NOTE = "~ within noise of a cheaper trial, by pairs"


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    header: str
    """Title of the column."""
    cells: Sequence[str]
    """Text of each row."""
    left: bool = False
    """Whether text stands at the left, as words do, not at the right, as numbers do."""
    width: int = 0
    """Smallest width in characters; a column is wider if its text needs it."""
    spare: int = 0
    """How well a table can do without it: where lines would be too long, the largest are left out. 0 always stays."""

    @property
    def breadth(self) -> int:
        """Its width in characters."""
        return max(self.width, len(self.header), *map(len, self.cells), 0)

    def lines(self) -> list[str]:
        """Header and cells, all filled up to the same width."""
        every = (self.header, *self.cells)
        return [cell.ljust(self.breadth) if self.left else cell.rjust(self.breadth) for cell in every]


def text_table(document: SearchDocument, *, every: bool = False, width: int | None = None) -> str:
    """The search in one line, and below it a table of the front with one line for each trial.

    With `every`, the table has all trials. Columns that make its lines longer than `width` are left out and named.
    """
    columns = trial_columns(document) if every else front_columns(document)
    return "\n".join([search_line(document), *fitted(columns, width), *_notes(document)])


def markdown_table(document: SearchDocument, *, every: bool = False) -> str:
    """The same as `text_table`, as Markdown and with all columns."""
    columns = trial_columns(document) if every else front_columns(document)
    lines = [line for note in _notes(document) for line in ("", note)]
    return "\n".join([search_line(document), "", *markdown(columns), *lines])


def _notes(document: SearchDocument) -> list[str]:
    """What `~` means and by which rule it was found, and what was trained before the trials."""
    rules = {marked.by for marked in document.marked().values() if marked.mark is Mark.FRONT_WITHIN_NOISE}
    noise = [note for rule, note in (("pairs", PAIRS_NOTE), ("intervals", NOISE_NOTE)) if rule in rules]
    return noise + [f"before the trials: {shared_text(one)}" for one in document.shared]


def shared_text(shared: SharedTraining) -> str:
    """A training that trials share in words, such as `supernet's training, 731 s (1402 core-seconds)`."""
    if not isfinite(shared.seconds):
        return f"{shared.method}'s training, of which the seconds were not counted"
    return f"{shared.method}'s training, {shared.seconds:.0f} s ({shared.cpu_seconds:.0f} core-seconds)"


def search_line(document: SearchDocument) -> str:
    """One line such as `NAME: 24 trials (17 complete, ...), front 3, hypervolume 26606 at (400 GMAC, 100 % WER)`."""
    reference = ", ".join(
        f"{bound:g} {unit(objective)}"
        for bound, objective in zip(document.reference_point, document.objectives, strict=True)
    )
    return (
        f"{document.name}: {trial_counts(document)}, front {len(document.front)}, "
        f"hypervolume {rounded(document.hypervolume)} at ({reference})"
    )


def trial_counts(document: SearchDocument) -> str:
    """How many trials there are, and how many in each state, such as `24 trials (17 complete, 7 stopped)`."""
    counts = Counter(map(document.state_of, document.trials))
    parts = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    word = "trial" if len(document.trials) == 1 else "trials"
    return f"{len(document.trials)} {word}" + (f" ({parts})" if parts else "")


def front_columns(document: SearchDocument) -> list[Column]:
    """Columns of the front's table: trial, method, settings that vary, costs, errors, and a mark for noise."""
    members = document.members()
    number, *columns = _columns(document, members)
    marks = document.marked()
    noisy = [marks[member.number].mark is Mark.FRONT_WITHIN_NOISE for member in members]
    return [number, *columns, Column("", ["~" if mark else "" for mark in noisy])]


def trial_columns(document: SearchDocument) -> list[Column]:
    """Columns of the table of all trials: those of the front's, the state, and whether a trial is on the front."""
    number, *columns = _columns(document, document.trials)
    marks = document.marked()
    shown = {Mark.FRONT: "front", Mark.FRONT_WITHIN_NOISE: "front ~"}
    on_front = [shown.get(marked.mark, "") if (marked := marks.get(trial.number)) else "" for trial in document.trials]
    state = Column("state", [document.state_of(trial) for trial in document.trials], left=True)
    return [number, state, *columns, Column("", on_front, left=True)]


def _columns(document: SearchDocument, trials: Sequence[TrialRecord]) -> list[Column]:
    params_spare = 0 if "params" in document.objectives else 3
    columns = [
        Column("trial", [str(trial.number) for trial in trials], width=6),
        Column("method", [trial.method for trial in trials], left=True),
        *_settings(document, trials),
        number_column("MACs G", [trial.cost.macs_g for trial in trials], digits=2, width=7),
        number_column("params M", [trial.cost.params_m for trial in trials], digits=2, spare=params_spare),
    ]
    columns += _charged(trials)
    for objective in document.objectives:
        if objective not in COSTS:
            columns += _measured(objective, trials)
    return columns


def _charged(trials: Sequence[TrialRecord]) -> list[Column]:
    """What a device charges, as far as the search asked for it."""
    columns = []
    if any(isfinite(trial.cost.of("size")) for trial in trials):
        columns.append(number_column(header("size"), [trial.cost.of("size") for trial in trials], digits=3))
    latencies = [trial.cost.of("latency") for trial in trials]
    if any(map(isfinite, latencies)):
        places = decimals(latencies, digits=3)
        spreads = [trial.cost.spread for trial in trials]
        shown = [f"{low:.{places}f} - {high:.{places}f}" if isfinite(low) else "-" for low, high in spreads]
        columns.append(number_column(header("latency"), latencies, digits=3))
        columns.append(Column("5 - 95 %", shown, spare=1))
    return columns


def fitted(columns: Sequence[Column], width: int | None) -> list[str]:
    """Lines of a plain table that is at most so wide, as far as columns may be left out, and which those are."""
    if not width:
        return plain(columns)
    kept: set[int] = set()
    room = width + len(SEPARATOR)
    for at in sorted(range(len(columns)), key=lambda at: columns[at].spare):
        breadth = columns[at].breadth + len(SEPARATOR)
        if breadth <= room or not columns[at].spare:
            kept.add(at)
            room -= breadth
    lines = plain([column for at, column in enumerate(columns) if at in kept])
    if left_out := [column.header for at, column in enumerate(columns) if at not in kept]:
        lines += wrap(f"left out: {', '.join(left_out)}; --wide shows all", width)
    return lines


def plain(columns: Sequence[Column]) -> list[str]:
    """Lines of a plain table."""
    return [SEPARATOR.join(cells).rstrip() for cells in zip(*(column.lines() for column in columns), strict=True)]


def markdown(columns: Sequence[Column]) -> list[str]:
    """Lines of a Markdown table."""
    rule = "|".join(":--" if column.left else "--:" for column in columns)
    rows = zip(*((column.header, *column.cells) for column in columns), strict=True)
    head, *body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [head, f"|{rule}|", *body]


def varying_settings(trials: Iterable[TrialRecord]) -> list[str]:
    """Keys of the settings, other than the method, that differ between trials, in order of first appearance."""
    trials = list(trials)
    keys = dict.fromkeys(key for trial in trials for key in trial.config if key != "method")
    return [key for key in keys if len({repr(trial.config.get(key)) for trial in trials}) > 1]


def setting_text(setting: Any) -> str:
    """A setting as a table shows it; `-` if a trial does not have it."""
    if setting is None:
        return "-"
    return f"{setting:.3g}" if isinstance(setting, float) else str(setting)


def rounded(number: float) -> str:
    """A number as text: whole from 1000 on, else with four digits."""
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def decimals(numbers: Iterable[float], digits: int) -> int:
    """Number of decimals, from 1 to 3, with which the smallest of the numbers shows so many digits."""
    # The smallest number has the fewest digits before the point, and the column has one number of decimals for all.
    smallest = min((number for number in numbers if number > 0 and isfinite(number)), default=1.0)
    return min(max(digits - 1 - floor(log10(smallest)), 1), 3)


def _settings(document: SearchDocument, members: Sequence[TrialRecord]) -> list[Column]:
    keys = [key for key in varying_settings(document.trials) if any(key in member.config for member in members)]
    # A column is called by the last part of its key, unless two keys end alike.
    short = Counter(map(short_name, keys))
    return [
        Column(
            name if short[name := short_name(key)] == 1 else key,
            [setting_text(member.config.get(key)) for member in members],
            spare=2,
        )
        for key in keys
    ]


def short_name(key: str) -> str:
    """The last part of a setting's key, such as `depth`; of one block's setting the last two, such as `heads.2`."""
    parts = key.split(".")
    return ".".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]


def _measured(objective: str, members: Sequence[TrialRecord]) -> list[Column]:
    values = [value(member, objective) for member in members]
    columns = [number_column(header(objective), values, digits=3, width=6)]
    places = decimals(values, digits=3)
    bounds = [interval(member, objective) for member in members]
    shown = [f"{low:.{places}f} - {high:.{places}f}" if isfinite(low) else "-" for low, high in bounds]
    columns.append(Column("95 % interval", shown, width=14, spare=1))
    tested = [value(member, objective, "test") for member in members]
    if any(isfinite(number) for number in tested):
        columns.append(number_column(f"test {header(objective)}", tested, digits=3, spare=4))
    return columns


def number_column(title: str, numbers: Sequence[float], digits: int, width: int = 0, spare: int = 0) -> Column:
    """A column of numbers, of which the smallest shows so many digits; `-` for what is no number."""
    places = decimals(numbers, digits)
    shown = [f"{number:.{places}f}" if isfinite(number) else "-" for number in numbers]
    return Column(title, shown, width=width, spare=spare)
