"""The MLflow experiment of a search: one for all of its runs, whoever makes it, the mirror or `pick --register`."""

from __future__ import annotations

from typing import Any

from raysearch.tracking import tags


def open_experiment(client: Any, search: str, artifact_root: str | None) -> str:
    """Id of the experiment of a search, which is created if there is none, or restored if somebody deleted it.

    `artifact_root` is the folder or URI below which a new experiment keeps its artifacts; None leaves that to MLflow.
    """
    name = f"raysearch/{search}"
    found = client.get_experiment_by_name(name)
    if found is None:
        location = None if artifact_root is None else f"{artifact_root.rstrip('/')}/{search}"
        kind = {tags.KIND: tags.MACHINE_LEARNING}
        return str(client.create_experiment(name, artifact_location=location, tags=kind))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    # Without it MLflow's pages guess, and open an experiment on traces, of which a search has none. Whoever chose
    # another kind keeps it.
    if tags.KIND not in found.tags:
        client.set_experiment_tag(found.experiment_id, tags.KIND, tags.MACHINE_LEARNING)
    return str(found.experiment_id)
