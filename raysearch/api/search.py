"""A search that is there, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from raysearch.api.arguments import Say, choices, say
from raysearch.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

    from raysearch.deploy.manifest import Manifest
    from raysearch.deploy.pick import ShippedCandidate
    from raysearch.deploy.reproduce import Reproduction
    from raysearch.encoder.encoder import Encoder
    from raysearch.front.beside import Beside
    from raysearch.front.document import SearchDocument
    from raysearch.front.record import Record
    from raysearch.spec.document import Spec
    from raysearch.storage.folder import SearchFolder
    from raysearch.tracking.mirror import Mirror, Synced


class Search:
    """A search that has begun: its trials, its front, and the way from a trial to a model.

    Its study is read whenever something is asked, so it follows a search that is running. Printed, it is the table of
    its front. One that was opened from a record has trials and a front, but no weights.
    """

    def __init__(self, name: str, folder: SearchFolder | None, record: Record | None = None) -> None:
        self.name = name
        self._folder = folder
        self._record = record

    def __repr__(self) -> str:
        return f"Search({self.name!r})"

    def __str__(self) -> str:
        from raysearch.front.table import text_table

        return text_table(self.document)

    @property
    def document(self) -> SearchDocument:
        """Trials, front and hypervolume, as `raysearch front --json` prints them.

        Raises: InputError if the search has no study yet.
        """
        if self._record:
            # Nothing goes on in a file.
            return self._record.document.model_copy(update={"driven": False})
        from raysearch.search.reading import read_document

        return read_document(self.folder)

    @property
    def trials(self) -> pd.DataFrame:
        """One row a trial, by number, with its settings, cost, errors and state.

        Columns are named as in the document: `student.depth`, `macs_g`, `eval/per`, `eval/per_low`, `test/per`.
        """
        from raysearch.api.frames import trials_frame

        return trials_frame(self.document)

    @property
    def front(self) -> pd.DataFrame:
        """The rows of `trials` that no other trial dominates, by MACs."""
        from raysearch.api.frames import front_frame

        return front_frame(self.document)

    @property
    def hypervolume(self) -> float:
        """What the front dominates up to the document's reference point, in the product of the objectives' units."""
        return self.document.hypervolume

    @property
    def folder(self) -> SearchFolder:
        """Where the search lies.

        Raises: InputError if it was opened from a record, which has no folder.
        """
        if self._folder is None:
            raise InputError(f"{self.name}: opened from a record, without weights; expected the search itself")
        return self._folder

    @property
    def spec(self) -> Spec:
        """The search document that it was started with."""
        return self.folder.spec()

    def status(self) -> dict[str, Any]:
        """Trials by state, front, hypervolume against time, and the seconds of workers spent, saved and left."""
        from raysearch.search.reading import read_status

        return read_status(self.folder)

    def standing(self) -> str:
        """What goes on in a search that is not done, or how it ended and how to go on with it; empty of one that is."""
        if self._record:
            return ""
        from raysearch.search.reading import standing_of

        found = standing_of(self.folder)
        return "" if found.state == "done" else f"{self.name}: {found}"

    def published(self, *sources: str | Path) -> Beside:
        """Published points that compare with the front, and why others of the sources do not.

        A source is `superb` or `voxceleb`, of which points come with raysearch, or a CSV file with the same columns.
        Raises: InputError if there is no such file, or a row of it is wrong.
        """
        from raysearch.front.beside import beside

        if self._record:
            asked = self._record.spec
        else:
            asked = self.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        return beside(self.document, asked, [str(source) for source in sources])

    def plot(self, published: Beside | None = None) -> Figure:
        """The interactive picture of the front, with published points beside it, which a notebook shows."""
        from raysearch.front.plots import figure

        return figure(self.document, published)

    def draw(
        self, *, html: str | Path | None = None, png: str | Path | None = None, published: Beside | None = None
    ) -> list[Path]:
        """Writes the front as a page that needs no network, as a picture, or as both; returns what was written.

        Points that `published` gave are drawn beside the front.
        """
        from raysearch.front.plots import draw_html, draw_png

        document = self.document
        drawn = [(Path(file), draw) for file, draw in ((html, draw_html), (png, draw_png)) if file]
        for file, draw in drawn:
            draw(document, file, beside=published)
        return [file for file, _ in drawn]

    @property
    def pictures(self) -> list[Path]:
        """Pictures of the front that were drawn when the search last ended."""
        if self._folder is None:
            return []
        return [file for kind in ("png", "html") if (file := self._folder.path / f"front.{kind}").exists()]

    def record(self, out: str | Path) -> Record:
        """Writes the search to one small file that ends in `.json.gz`, without weights; `open_search` reads it."""
        from raysearch.front.record import SUFFIX, write_record
        from raysearch.search.reading import record_of

        if not Path(out).name.endswith(SUFFIX):
            raise InputError(f"--out: {out}; expected a name that ends in {SUFFIX}")
        found = record_of(self.folder)
        write_record(found, Path(out))
        return found

    def pick(
        self,
        *,
        max_macs: float | Sequence[float] | None = None,
        max_params: float | None = None,
        max_size: float | None = None,
        max_latency: float | None = None,
        max_error: Mapping[str, float] | None = None,
        objective: str | None = None,
        knee: bool = False,
        cheapest: bool = False,
        trial: int | None = None,
        precision: str | Sequence[str] = (),
        threads: int | None = None,
        batch: int | None = None,
        seconds: float | None = None,
        register: str | None = None,
        alias: str = "candidate",
        tracking: str | None = None,
        say: Say = say,
    ) -> list[ShippedCandidate]:
        """Chooses from the front within limits, exports, measures what is shipped, and where asked registers it.

        Limits are `max_macs` in GMAC (several give several picks), `max_params` in millions, `max_size` of the export
        in MB, `max_latency` in ms, and `max_error` in percent on dev, such as `{"per": 20}`. What is
        chosen has the least `objective`, by default the search's error, and its notes name the cheaper trials that
        cannot be told from it; `cheapest` takes the cheapest of these in its place. With `knee` it lies where more
        MACs begin to buy less; `trial` names the member itself. Latency is that of `batch` recordings of so
        many `seconds` on so many `threads`. By default these are those of the search's `device`, whose latencies are
        known and are not measured again; for a search without one they are 1, 10 and 1, measured on this machine. Of
        several precisions the first one is shipped; by default it is the one in which the trial was judged. `register`
        names a model in MLflow.
        Raises: InputError if nothing keeps to the limits; WorkError if an export differs from its checkpoint.
        """
        from raysearch.deploy.pick import PickRequest, pick_candidates
        from raysearch.exported.latency import Load
        from raysearch.exported.settings import Precision

        device = self.folder.spec().measured_on
        asked = {"threads": threads, "batch": batch, "seconds": seconds}
        load = {key: value for key, value in asked.items() if value is not None}
        request = PickRequest(
            budgets=list(max_macs) if isinstance(max_macs, Sequence) else [max_macs],
            params_m=max_params,
            size_mb=max_size,
            latency_ms=max_latency,
            errors={metric.removeprefix("eval/"): bound for metric, bound in (max_error or {}).items()},
            objective=objective,
            knee=knee,
            cheapest=cheapest,
            trial=trial,
            precisions=choices("--precision", precision, get_args(Precision)),
            load=(device.load if device else Load()).model_copy(update=load),
            model=register,
            alias=alias,
            tracking=tracking,
        )
        return pick_candidates(self._with_students(), request, say)

    def export(
        self,
        trial: int,
        out: str | Path,
        *,
        formats: str | Sequence[str] = "onnx",
        precision: str | Sequence[str] = (),
        task: str | None = None,
        layout: str = "raysearch",
        say: Say = say,
    ) -> Manifest:
        """Writes a trial to a new folder as a whole model: waveform in, log-probabilities or an embedding out.

        `formats` are `onnx`, `pt2` and `safetensors`, `precision` those of ONNX, as `deploy.precision` has them, by
        default the one in which the trial was judged; `task` says whose head, by default that of the task searched for.
        `layout` says whose runtime loads the files: ours, or `sherpa` or `onnx-asr`.
        Raises: InputError if there is no such trial, it has no checkpoint, the layout cannot express it, or the folder
        is in use.
        """
        from raysearch.deploy.export import export_trial
        from raysearch.deploy.layouts.layout import Format
        from raysearch.deploy.layouts.table import LAYOUTS
        from raysearch.exported.settings import Precision

        kinds = choices("--format", formats, get_args(Format))
        precisions = choices("--precision", precision, get_args(Precision))
        (shape,) = choices("--layout", layout, list(LAYOUTS))
        folder, out = self._with_students(), Path(out)
        return export_trial(folder, trial, out, task=task, formats=kinds, precisions=precisions, layout=shape, say=say)

    def load_student(self, trial: int) -> Encoder:
        """A trial's student as a torch module on the CPU, in eval mode, as its method left it.

        It takes 16 kHz audio (B, S) and the valid samples of each row (B), and gives the hidden states of all layers.
        Raises: InputError if there is no such trial, or it never reached a rung.
        """
        from raysearch.api.encoders import load_encoder
        from raysearch.deploy.export import find_trial

        folder = self._with_students()
        student = folder.trial(find_trial(folder, trial).number) / "student"
        if not student.is_dir():
            raise InputError(f"{student}: no such folder; expected a trial that reached a rung")
        return load_encoder(student)

    def reproduce(self, trial: int, out: str | Path | None = None, *, say: Say = say) -> Reproduction:
        """Trains a trial again from its record and says what differs; by default in the search's folder.

        Raises: InputError if there is no such trial, it never reached a rung, or the folder is in use.
        """
        from raysearch.deploy.reproduce import reproduce

        folder = self._with_students()
        return reproduce(folder, trial, Path(out) if out else folder.path / "reproduced" / f"{trial:04d}", say)

    def mirror(self, tracking: str | None = None) -> Mirror:
        """The search's mirror in MLflow, the one that it was started with or another."""
        from raysearch.tracking.mirror import Mirror

        return Mirror(tracking or self.folder.tracking, artifact_root=self.folder.artifacts)

    def sync(self, tracking: str | None = None, *, say: Say = say) -> Synced:
        """Pushes to MLflow what it lacks of the search, and counts what was written.

        Raises: InputError if MLflow knows no such kind of address; WorkError if it does not answer or refuses.
        """
        from raysearch.search.reading import read_state
        from raysearch.tracking.once import sync_once

        return sync_once(self.mirror(tracking), read_state(self.folder), self.folder.sync_command, say)

    def _with_students(self) -> SearchFolder:
        """The folder, with the students of all trials where they lie at a URI."""
        self.folder.fetch(students=True)
        return self.folder
