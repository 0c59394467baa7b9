"""Runs a search from its document to its front: corpus, teacher, study, lanes and MLflow mirror."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml

from raysearch.cluster.connection import check_address, connected
from raysearch.cluster.resources import cpus as cluster_cpus
from raysearch.cluster.resources import largest_node, uses_gpu
from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.table import read_corpus
from raysearch.encoder.config import AnyConfig
from raysearch.encoder.document import read_config
from raysearch.errors import InputError, WorkError
from raysearch.files.disk import is_full
from raysearch.front.document import SearchDocument
from raysearch.lanes.board import board_of
from raysearch.lanes.lane import LaneSetup, run_alone
from raysearch.lanes.room import Room
from raysearch.lanes.tune import run_lanes
from raysearch.lanes.waiting import wait_for
from raysearch.lanes.worker import train_shared, train_teacher
from raysearch.search.charging.charges import Charges
from raysearch.search.charging.preparing import charges_of, keep_trust
from raysearch.search.checks.needs import check_judged, check_trained
from raysearch.search.checks.possible import refuse_beforehand, refuse_impossible
from raysearch.search.costs import Costs, encoder_cost, reference_point
from raysearch.search.importances import cost_importances
from raysearch.search.interruptions import told_how_to_go_on
from raysearch.search.memory.memory import Memory
from raysearch.search.memory.recall import recall
from raysearch.search.reading import read_document, write_front
from raysearch.search.searcher import Searcher
from raysearch.search.study import SHARED, Study, taken
from raysearch.search.timing.budget import Budget
from raysearch.search.timing.deadlines import Deadlines
from raysearch.search.timing.foreseeing import Foresee, budget_of, foresight_of, held_by
from raysearch.search.watching.following import end_mirror, start_mirror
from raysearch.search.watching.notices import Reporter, noticing
from raysearch.search.watching.progress import make_progress
from raysearch.search.watching.status import refuse_empty
from raysearch.search.watching.watcher import Watcher
from raysearch.search.watching.works import said_if_slow, shown
from raysearch.search.widening import Wider, keep_wider, whole_document
from raysearch.spec.document import Spec
from raysearch.spec.loading import differences
from raysearch.spec.notices import check_notices
from raysearch.spec.overrides import Overrides
from raysearch.spec.widening import widened
from raysearch.storage.folder import Links, SearchFolder
from raysearch.storage.lease import Lease
from raysearch.storage.provenance import git_commit, hardware, versions
from raysearch.storage.replica import Replica
from raysearch.storage.studies import TOKEN, open_storage
from raysearch.tasks.table import load_task
from raysearch.tasks.task import Task
from raysearch.teachers.heads import judged_errors
from raysearch.teachers.shape import known_shape
from raysearch.teachers.store import find_teacher

T = TypeVar("T")
SHOWN_CHANGES = 3
"""Keys in which two documents differ that a message names. Documents on other corpora differ in dozens."""


def start_search(
    spec: Spec,
    folder: SearchFolder,
    *,
    study_url: str,
    tracking: str,
    address: str | None,
    say: Callable[[str], None],
    foresee: Foresee | None = None,
) -> SearchDocument:
    """Runs a new search to its end. Returns its trials and front.

    `foresee` plans the lengths of trials where a budget or a timeout asks for them.

    Raises: InputError if the name is taken; WorkError if it cannot go on.
    """
    folder.fetch()
    if _begun(folder):
        raise _used(spec, folder)
    # Of a study in a database the folder knows nothing: it may be that of a search in another folder.
    if study_url and _has_study(study_url, spec.name):
        raise taken(folder)
    # Reading a corpus may take minutes, and a search that could not begin should leave no folder.
    refuse_beforehand(spec)
    check_address(address)
    memory = recall(spec, folder)
    corpus = checked_corpus(spec, folder, say)
    # Another driver may have taken the name while the corpus was read.
    if not claim(spec, folder, Links(study=study_url, tracking=tracking)):
        raise _used(spec, folder)
    with told_how_to_go_on(folder):
        trials = spec.search.trials
        return _run(spec, folder, corpus, trials=trials, address=address, say=say, foresee=foresee, memory=memory)


def claim(spec: Spec, folder: SearchFolder, links: Links) -> bool:
    """Gives the folder to this search. Returns False if another search of this name has begun, or begins now.

    A start that failed before there was a study, because of a bad setting for instance, does not keep the name.
    Raises: InputError that names the driver which is preparing a search of this name.
    """
    if folder.exists and not _begun(folder):
        Replica(folder).refuse()
        lease = Lease.take(open_storage(folder.study_storage()), folder.study_name)
        folder.abandon()
        lease.release()
    return folder.create(spec, links)


def _begun(folder: SearchFolder) -> bool:
    try:
        Study.of(folder)
    except (KeyError, InputError):  # there is no such folder, or no study of its own
        return False
    return True


def _has_study(storage: str, name: str) -> bool:
    try:
        Study.open(storage, name)
    except KeyError:
        return False
    return True


def _used(spec: Spec, folder: SearchFolder) -> InputError:
    changed = differences(folder.spec(), spec)
    if not changed:
        expected = f"a new name, or: {folder.resume_command}"
    elif set(changed) == {"search.trials"}:
        expected = f"a new name, or: {folder.resume_command} --trials {spec.search.trials}"
    else:
        expected = "a new name, or the document it was started with"
    shown = [f"{key}: {change}" for key, change in changed.items()]
    more = [f"{len(shown) - SHOWN_CHANGES} more"] if len(shown) > SHOWN_CHANGES else []
    what = ", ".join([*shown[:SHOWN_CHANGES], *more])
    return InputError(
        f"{spec.name}: already used in {folder.place}{f' with other settings ({what})' if changed else ''}; "
        f"expected {expected}"
    )


def resume_search(
    folder: SearchFolder,
    *,
    trials: int | None,
    overrides: Overrides = (),
    address: str | None,
    say: Callable[[str], None],
    foresee: Foresee | None = None,
) -> SearchDocument:
    """Finishes an interrupted search, or extends it to more trials. Returns its trials and front.

    `overrides` change its document, which may only become wider.
    """
    folder.fetch()
    folder.links()
    study = None
    with suppress(KeyError):  # no driver has come as far as making the study
        study = Study.of(folder)
    old = whole_document(folder, study)
    spec, changes = widened(old, overrides) if overrides else (old, {})
    wider = Wider(old, spec, changes) if changes else None
    asked = spec.search.trials if study is None or "search.trials" in changes else int(study.about["trials"])
    if changes:
        refuse_beforehand(spec)
    # A folder that was renamed goes by its new name, in all but its study.
    spec = spec.model_copy(update={"name": folder.name})
    check_notices(spec.notices)
    memory = recall(spec, folder, study)
    corpus = checked_corpus(spec, folder, say)
    with told_how_to_go_on(folder):
        return _run(
            spec,
            folder,
            corpus,
            trials=trials or asked,
            address=address,
            say=say,
            foresee=foresee,
            memory=memory,
            wider=wider,
        )


def _run(
    spec: Spec,
    folder: SearchFolder,
    corpus: Corpus,
    *,
    trials: int,
    address: str | None,
    say: Callable[[str], None],
    foresee: Foresee | None,
    memory: Memory | None,
    wider: Wider | None = None,
) -> SearchDocument:
    began_s = time.monotonic()
    mirror, replica = None, Replica(folder)
    # The lease keeps a second driver from writing the study at the same time. It comes before the name at the URI: a
    # driver that it refuses must leave the name of the first one there.
    replica.refuse()
    lease = Lease.take(open_storage(folder.study_storage()), folder.study_name)
    waits = True
    try:
        lease.keep()
        replica.begin()
        begun = None
        with suppress(KeyError):
            begun = Study.of(folder)  # a search in another folder may have taken the name while the corpus was read
        if wider:
            keep_wider(folder, begun, wider)
            say(f"the document from trial {begun.asked if begun else 0} on: {wider}")
        with Watcher(folder).ending() as watcher, noticing(spec, say) as notices:
            with connected(address) as own, watcher.following(board_of(str(folder.path), folder.uri).read):
                setup = _lane_setup(spec, folder, own, say)
                room = Room(setup, spec.workers.fixed_lanes)
                known = spec.with_lanes(room.lanes)  # those that the search begins with
                budget = budget_of(known, setup, began_s, watcher)
                # A search that goes on keeps what it knows of its teacher.
                judged = [] if begun and begun.is_whole else [load_task(task) for task in spec.teacher_tasks]
                setup, errors = _with_teacher(setup, folder, known, corpus, judged, say, watcher)
                teacher = read_config(Path(setup.teacher) / "config.json")
                charges = charges_of(known, teacher, corpus, folder.store, own, say, watcher)
                study = _study(spec, folder, teacher, errors, charges)
                study.guard = partial(_guard, lease, replica)
                if wider:
                    # What is dearer than anything was counts from now on.
                    points = zip(
                        study.about["reference_point"],
                        reference_point(spec, Costs(spec, teacher, charges)),
                        strict=True,
                    )
                    study.note("reference_point", [max(both) for both in points])
                # A resumed search may have more trials than it is asked for now. None of them is taken back.
                study.note("trials", max(trials, study.asked_for))
                keep_trust(study, charges)
                if memory:
                    memory.keep(study)
                mirror = start_mirror(folder)
                if known.sharing:
                    study.note(SHARED, _train_shared(setup, known, say, watcher))
                foreseen = partial(foresee, known, teacher, corpus, setup) if foresee else None
                deadlines = Deadlines(known, budget, foresight_of(known, teacher, foreseen, say, watcher))
                searcher = Searcher(
                    known,
                    study,
                    teacher,
                    trials=trials,
                    say=say,
                    costs=Costs(known, teacher, charges),
                    deadlines=deadlines,
                    memory=memory,
                )
                if promise := deadlines.promise():
                    say(promise)
                watcher.enter("trials")
                with make_progress(spec, study, trials, say) as progress:
                    heard = Reporter(spec, study, notices, progress.heard).heard
                    room.changed = partial(_hold, setup, budget, say)
                    run_lanes(searcher, setup, room, heard, partial(watcher.tick, progress.show))
                progress.close()
                keep_trust(study, charges)
            folder.fetch_light_of_trials()  # at a URI, the last trials have been written since the last beat
            document = read_document(folder)
            unfinished = [trial.number for trial in document.trials if trial.state == "running"]
            if unfinished and searcher.ended_by:
                say(f"trials {unfinished} keep their checkpoints, from which they go on once there is more to spend")
            elif unfinished:
                why = " by a full disk" if is_full(folder.path) else ""
                raise WorkError(f"trials {unfinished} were interrupted{why}; continue with: {folder.resume_command}")
            write_front(document, folder)
            replica.check()
            refuse_empty(document)
            if memory:
                say(str(memory))
            front = f"front {len(document.front)}, hypervolume {document.hypervolume:.0f}"
            if searcher.ended_by:
                notices.tell("stopped", searcher.ended_by)
            notices.tell("ended", front)
        return document
    except KeyboardInterrupt:
        waits = False
        raise
    finally:
        # Of these the last one begins, and each is done though another one fails.
        with ExitStack() as closing:
            if mirror is not None:
                closing.callback(end_mirror, mirror, folder, say, waits=waits)
            closing.callback(replica.end)
            closing.callback(lease.release)


def _hold(setup: LaneSetup, budget: Budget | None, say: Callable[[str], None], lanes: int) -> None:
    """Takes in that from now on there is room for so many lanes."""
    say(f"lanes: the cluster has room for {lanes} now")
    if budget is not None:
        budget.hold(held_by(lanes, setup))


def _guard(lease: Lease, replica: Replica) -> None:
    lease.check()
    replica.held()


def checked_corpus(spec: Spec, folder: SearchFolder, say: Callable[[str], None]) -> Corpus:
    """Reads the search's corpus and says its size, its faults, and what is doubtful about it.

    Raises: InputError if it lacks what a task, a method or the teacher needs, or if the document asks for more clusters
    than there are frames.
    """
    # The first time this takes minutes: every recording is decoded, and synthetic speech is spoken.
    with said_if_slow(f"corpus: reading {spec.corpus.kind}", say):
        corpus = read_corpus(spec.corpus, folder.store.corpora)
    _check_clusters(spec, corpus)
    doubtful = [*check_judged(spec, corpus), *check_trained(spec, corpus, folder.store)]
    hours = ", ".join(f"{split} {corpus.hours(split):.2f} h ({len(corpus.splits[split])})" for split in corpus.splits)
    say(f"corpus {corpus.name}: {hours}")
    if corpus.faults:
        say(f"skipped {len(corpus.faults)}: " + "; ".join(f"{f.cut}: {f.reason}" for f in corpus.faults[:5]))
    for line in dict.fromkeys(doubtful):
        say(f"warning: {line}")
    return corpus


def _check_clusters(spec: Spec, corpus: Corpus) -> None:
    """Refuses more clusters than the training split has frames: no label set can have so many."""
    # 25 Hz is the slowest frame rate of a teacher's features.
    frames = int(sum(cut.duration for cut in corpus.splits["train"]) * 25)
    wanted: list[Any] = []
    if "targets.clusters" in spec.space:
        wanted = spec.space["targets.clusters"].values()
    elif "clusters" in spec.targets:
        wanted = [spec.targets["clusters"]]
    for clusters in wanted:
        # A document may give them as text, such as "500.0", which its settings read as a number.
        if float(clusters) > frames:
            key = "space.targets.clusters" if "targets.clusters" in spec.space else "targets.clusters"
            raise InputError(f"{key}: {clusters}; expected at most {frames}, the frames of the training split")


def _lane_setup(spec: Spec, folder: SearchFolder, own: bool, say: Callable[[str], None]) -> LaneSetup:
    workers = spec.workers
    gpu = uses_gpu(workers)
    # A cluster that someone else runs may grow, and lanes can wait for that. One that was started here cannot grow.
    needed, cpus = workers.fewest_lanes * workers.num_workers * workers.cpus, cluster_cpus()
    if needed > cpus:
        wanted = f"workers: lanes x num_workers x cpus = {needed}"
        if own:
            raise InputError(f"{wanted}; expected at most {cpus:.0f}, the cluster's CPUs")
        say(f"{wanted}, the cluster has {cpus:.0f} CPUs now: lanes wait until nodes are added")
    return LaneSetup(
        spec=(folder.path / "spec.yaml").read_text(),
        folder=str(folder.path),
        store=str(folder.store.folder),
        uri=folder.uri,
        teacher="",
        num_workers=workers.num_workers,
        cpus=workers.cpus,
        use_gpu=gpu,
        precision=workers.precision_on(gpu=gpu),
    )


def _with_teacher(
    setup: LaneSetup,
    folder: SearchFolder,
    spec: Spec,
    corpus: Corpus,
    judged: Sequence[Task],
    say: Callable[[str], None],
    watcher: Watcher,
) -> tuple[LaneSetup, dict[str, float]]:
    """The setup with its teacher's folder, and the teacher's errors. What is not in the store is trained first."""

    def look() -> tuple[Path | None, dict[str, float] | None]:
        found = find_teacher(spec.teacher, corpus, folder.store.teachers)
        heads, seed = folder.store.heads, spec.search.seed
        return found, None if found is None else judged_errors(judged, found, corpus, heads, seed)

    found, errors = look()
    if found is None or errors is None:
        say("teacher: preparing (once; later searches take it from the store)")
        watcher.enter("teacher")
        _train_before(train_teacher, setup, spec, say, watcher)
        found, errors = look()
        assert found is not None
        assert errors is not None
    known = [f"{key} {value:.4g}" for key, value in errors.items() if not key.endswith(("_low", "_high"))]
    say(f"teacher: {', '.join(known) or 'ready; errors of its own are not known'}")
    return replace(setup, teacher=str(found)), errors


def _train_shared(setup: LaneSetup, spec: Spec, say: Callable[[str], None], watcher: Watcher) -> list[dict[str, Any]]:
    """Trains what all trials of a method share, for each such method, unless it is in the store.

    Returns what each training took, also where it was there: the front would not be without it.
    """
    say(f"{', '.join(spec.sharing)}: preparing what all trials share (once; later searches take it from the store)")
    watcher.enter("shared")
    return _train_before(train_shared, setup, spec, say, watcher)


def _train_before(
    train: Callable[[dict[str, Any]], T],
    setup: LaneSetup,
    spec: Spec,
    say: Callable[[str], None],
    watcher: Watcher,
) -> T:
    """Trains what trials wait for. None runs yet: it may use the CPUs of all lanes, as far as one node has them."""
    lanes_cpus = setup.cpus * spec.workers.fewest_lanes * spec.workers.num_workers
    whole = replace(setup, num_workers=1, cpus=max(setup.cpus, min(lanes_cpus, largest_node(setup.use_gpu))))
    with shown(say) as show:
        work = partial(run_alone, train, {"setup": asdict(whole)}, whole)
        return wait_for(work, partial(watcher.tick, show))


def _study(
    spec: Spec, folder: SearchFolder, teacher: AnyConfig, errors: dict[str, float], charges: Charges | None
) -> Study:
    study: Study | None = None
    with suppress(KeyError):
        study = Study.of(folder)
        if study.is_whole:
            return study
    if study is None and known_shape(spec.teacher) is None:  # the shape of an imported teacher is known only now
        refuse_impossible(spec, teacher)
    about = {
        TOKEN: folder.links().token,
        "spec": yaml.safe_dump(spec.model_dump(mode="json", by_alias=True, exclude_none=True), sort_keys=False),
        "digest": spec.digest,
        "seed": spec.search.seed,
        "versions": versions(),
        "hardware": hardware(),
        "git_commit": git_commit(),
        "reference_point": reference_point(spec, Costs(spec, teacher, charges)),
        "cost_importances": cost_importances(spec.search_space, Costs(spec, teacher), spec.search.seed),
        "teacher": {
            "cost": encoder_cost(teacher).model_dump(),
            "metrics": errors,
            "encoder": teacher.model_dump(mode="json"),
        },
    }
    if study is None:
        return Study.create(folder.study_storage(), folder.study_name, spec.objectives, about)
    study.fill(spec.objectives, about)
    return study
