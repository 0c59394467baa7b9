"""Keeps a logged model in MLflow for each member of the front, so that candidates are found before one is registered.

A trial that leaves the front keeps its logged model, whose tag then says so: somebody may be comparing it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric

from raysearch.front.document import SearchDocument
from raysearch.front.trials import TrialRecord
from raysearch.tracking import content, tags

MODEL_TYPE = "candidate"
"""Type of the logged models of a front, which tells them from those that `pick --register` makes."""
Written = dict[tuple[str, int, float | None], int]
"""Points that MLflow has of a run: their time in ms since 1970, by (metric, step, value as MLflow keeps it)."""


class Candidates:
    """The logged models of one search's trials, as they were in MLflow when the sync began."""

    def __init__(self, client: Any, experiment_id: str, document: SearchDocument) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.document = document
        self.found = self._found()

    def sync(
        self, run_id: str, linked: Collection[str], record: TrialRecord, had: Callable[[], Written]
    ) -> dict[str, int]:
        """Writes what MLflow lacks of the logged model of a trial, if it is or was on the front.

        `linked` holds the ids of models that the trial's run names as its own, and `had` reads the run's points.
        Returns counts of what was written.
        """
        model, wanted = self.found.get(run_id), content.candidate_tags(self.document, record)
        if record.number not in self.document.front:
            return {} if model is None else {"tags": self._retag(model, wanted)}
        digest, created = content.trial_digest(record), 0
        if model is None:
            name, params = f"trial-{record.number:04d}", content.trial_params(record)
            model = self.client.create_logged_model(self.experiment_id, name, run_id, wanted, params, MODEL_TYPE)
            created = 1
        if model.tags.get(tags.MIRRORED) != digest:
            # MLflow refuses to link a model twice.
            if model.model_id not in linked:
                self.client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
            self.client.log_batch(run_id, metrics=_metrics(record, had(), model.model_id))
            if model.status != LoggedModelStatus.READY:
                self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        return {"models": created, "tags": self._retag(model, wanted | {tags.MIRRORED: digest})}

    def _found(self) -> dict[str, Any]:
        """The logged models by the id of the trial's run.

        Where the server answered too late to a creation, the model was created twice. The later one is deleted.
        """
        found: dict[str, Any] = {}
        token: str | None = None
        while True:
            page = self.client.search_logged_models(
                [self.experiment_id],
                filter_string=f"model_type = '{MODEL_TYPE}'",
                order_by=[{"field_name": "creation_timestamp", "ascending": True}],
                page_token=token,
            )
            for model in page:
                if found.setdefault(model.source_run_id, model) is not model:
                    self.client.delete_logged_model(model.model_id)
            if not (token := page.token):
                return found

    def _retag(self, model: Any, wanted: Mapping[str, str]) -> int:
        """Sets those tags that differ, and returns how many these are."""
        changed = {key: text for key, text in wanted.items() if model.tags.get(key) != text}
        if changed:
            self.client.set_logged_model_tags(model.model_id, changed)
        return len(changed)


def _metrics(record: TrialRecord, had: Written, model_id: str) -> list[Metric]:
    """The trial's costs and its last metrics, as they stand in its run. NaN is left out: MLflow would make it 0.

    MLflow writes them to the run too, where it drops what it has already. So times must be those of the run.
    """
    last: dict[str, Metric] = {}
    for (key, step, value), time_ms in had.items():
        told = key in record.metrics or key in content.COST_METRICS
        if told and value is not None and (key not in last or step >= last[key].step):
            last[key] = Metric(key, value, time_ms, step, model_id=model_id)
    return list(last.values())
