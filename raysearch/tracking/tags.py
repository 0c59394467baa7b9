"""The names of all tags that raysearch sets in MLflow, whoever sets them: the mirror, `pick` or the page.

Runs, logged models and model versions share them. What is of a trial has `SEARCH` and `TRIAL`, wherever it lies.
"""

from __future__ import annotations

PREFIX = "raysearch."

SEARCH, TRIAL = "raysearch.search", "raysearch.trial"
"""Name of the search, and number of the trial in it."""
METHOD, TASK = "raysearch.method", "raysearch.task"
MACS_G, PARAMS_M, LATENCY_MS = "raysearch.macs_g", "raysearch.params_m", "raysearch.latency_ms"
SHA256 = "raysearch.sha256"
"""Digest of a model's file. Only what was verified has it, so a version that carries it is a verified one."""
GROUPS = "raysearch.groups"
"""Error by the speakers' gender, as JSON."""
CANDIDATE = "raysearch.candidate"
"""On a trial's run: name of the registered model that it was registered as."""

SPEC_HASH = "raysearch.spec_hash"
"""Only a search's own run, the parent of its trials' runs, carries the digest of its document."""
TOKEN = "raysearch.token"
"""What tells a search from others of its name: its folder holds it too."""
LEARNED = "raysearch.learn_from"
"""Past searches that the search learns from, as its document names them."""
OBJECTIVES, FOLDER, SEED = "raysearch.objectives", "raysearch.folder", "raysearch.seed"
VERSIONS, GIT_SHA = "raysearch.versions", "raysearch.git_sha"

STATE, PARETO = "raysearch.state", "raysearch.pareto"
"""State of a trial, and whether it is on the front: `true` or `false`."""
RUNG, CAUSE, CHECKPOINT = "raysearch.rung", "raysearch.cause", "raysearch.checkpoint"
MIRRORED = "raysearch.mirrored"
"""Digest of what a run or logged model was filled from. It is written last, so what carries it lacks nothing."""
STUDENT = "raysearch.student"
"""The checkpoint whose files are artifacts of the trial's run."""

SHARED = "raysearch.shared"
"""On the run of a training that trials share: name of its folder in the store."""

NOTE, PARENT, COMMIT = "mlflow.note.content", "mlflow.parentRunId", "mlflow.source.git.commit"
EXTERNAL = "mlflow.model.isExternal"
"""On a logged model: MLflow has no file of it that it could load."""
KIND, MACHINE_LEARNING = "mlflow.experimentKind", "custom_model_development"
"""Tag of an experiment, and the value with which MLflow's pages open it on its runs and not on traces."""


def test_error(metric: str) -> str:
    """Tag of an exported file's error on test, in percent."""
    return f"{PREFIX}test_{metric}"


def test_interval(metric: str) -> str:
    """Tag of the 95 % interval of that error."""
    return f"{PREFIX}test_{metric}_interval"
