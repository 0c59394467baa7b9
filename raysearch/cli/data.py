"""Verbs on corpora and label sets."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import raysearch
from raysearch.cli.options import Json, Set, Storage, Wide
from raysearch.cli.output import line_width, print_json, say
from raysearch.errors import InputError

NO_NAME = "unnamed"

if TYPE_CHECKING:
    from raysearch.planning.label_sets import StoredLabels


def corpus_check(document: Path, overrides: Set = None, storage: Storage = None, as_json: Json = False) -> None:
    """Hours, speakers and faults of a search document's corpus."""
    # A corpus is often looked at before its search has a name.
    checked = raysearch.check_corpus(raysearch.load_spec(document, overrides or [], NO_NAME), storage=storage)
    if as_json:
        print_json(checked.document())
    else:
        print("\n".join(checked.lines()))
    if checked.refused:
        raise InputError(checked.refused)


def corpus_prepare(
    kind: Annotated[str, typer.Argument(help="librispeech, voxceleb, commonvoice, ...; a wrong one lists them all.")],
    root: Annotated[Path, typer.Argument(help="Folder of the corpus as its archives unpack.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write manifests to.")],
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Validate a corpus and write its manifests, once: raysearch corpus prepare commonvoice cv/en -o prepared/cv-en"""
    from raysearch.corpora.prepare import MARKER
    from raysearch.corpora.settings import SPLITS

    checked = raysearch.prepare_corpus(kind, root, out, overrides or [])
    splits = ", ".join(f"{split}: {out / split}.jsonl.gz" for split in SPLITS)
    if as_json:
        print((out / MARKER).read_text())
        return
    if checked is None:
        say(f"{out}: prepared before")
    else:
        print("\n".join(checked.lines()))
    print(f"corpus: {{kind: manifest, splits: {{{splits}}}}}")


def corpus_synth(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write, in LibriSpeech layout.")],
    utterances: Annotated[int, typer.Option(min=16, help="Sentences to train on; 600 are about 20 minutes.")] = 600,
    seed: Annotated[int, typer.Option(min=0, help="Seed of voices, sentences, levels and pauses.")] = 0,
) -> None:
    """Write a synthetic multi-speaker corpus with transcripts and phones."""
    raysearch.synthesise_corpus(out, utterances=utterances, seed=seed)
    print(out)


def targets_ls(wide: Wide = False, storage: Storage = None, as_json: Json = False) -> None:
    """Label sets in the store, with their quality, hidden states that are kept, and trainings that trials share."""
    found, kept = raysearch.label_sets(storage=storage), raysearch.kept_features(storage=storage)
    trained = raysearch.shared_trainings(storage=storage)
    if as_json:
        kinds = (("label set", found), ("features", kept), ("training", trained))
        print_json([{"kind": kind, **one} for kind, ones in kinds for one in ones])
        return
    if not found:
        say("no label sets yet; raysearch targets build SPEC makes those of a search")
    width = line_width(wide=wide)
    of_kind = ((label_set_table, found), (features_table, kept), (trainings_table, trained))
    tables = [table(rows, width) for table, rows in of_kind if rows]
    print("\n\n".join("\n".join(lines) for lines in tables), end="\n" * bool(tables))


def label_set_table(found: list[dict[str, Any]], width: int | None) -> list[str]:
    """The label sets as lines of a table that is at most so wide."""
    from raysearch.front.table import Column, fitted, rounded

    def numbers(header: str, key: str, form: str, spare: int = 0) -> Column:
        return Column(header, [format(one[key], form) if key in one else "-" for one in found], spare=spare)

    return fitted(
        [
            Column("label set", [one["digest"] for one in found], left=True),
            Column("of", [f"layer {one['layer']}" if one["teacher"] else "MFCCs" for one in found], left=True),
            numbers("clusters", "clusters", "d"),
            numbers("dead", "dead_clusters", ".0f"),
            numbers("perplexity", "perplexity", ".1f"),
            numbers("probe PER %", "probe_per", ".1f"),
            numbers("fitted on", "fit_frames", ",.0f", spare=1),
            Column("inertia", [rounded(one["inertia"]) for one in found], spare=4),
            numbers("hop", "hop_samples", "d", spare=3),
            numbers("seed", "seed", "d", spare=2),
            Column("teacher", [one["teacher"][:8] or "-" for one in found], left=True, spare=5),
            Column("corpus", [one["corpus"][:8] for one in found], left=True, spare=5),
        ],
        width,
    )


def features_table(kept: list[dict[str, Any]], width: int | None) -> list[str]:
    """The layers whose hidden states are kept, as lines of a table that is at most so wide."""
    from raysearch.front.table import Column, fitted

    return fitted(
        [
            Column("features", [one["digest"] for one in kept], left=True),
            Column("of", [f"layer {one['layer']}" for one in kept], left=True),
            Column("cuts", [f"{one['cuts']:,}" for one in kept]),
            Column("MB", [f"{one['bytes'] / 1e6:,.1f}" for one in kept]),
            Column("hop", [str(one["hop_samples"]) for one in kept], spare=3),
            Column("teacher", [one["teacher"][:8] for one in kept], left=True, spare=5),
            Column("corpus", [one["corpus"][:8] for one in kept], left=True, spare=5),
        ],
        width,
    )


def trainings_table(trained: list[dict[str, Any]], width: int | None) -> list[str]:
    """The trainings that trials share, as lines of a table that is at most so wide."""
    from raysearch.front.table import Column, fitted

    days = [datetime.fromtimestamp(one["used_s"], timezone.utc).date().isoformat() for one in trained]
    return fitted(
        [
            Column("training", [one["digest"] for one in trained], left=True),
            Column("MB", [f"{one['bytes'] / 1e6:,.1f}" for one in trained]),
            Column("last used", days, left=True),
        ],
        width,
    )


def targets_build(spec: Path, overrides: Set = None, storage: Storage = None, as_json: Json = False) -> None:
    """Make a search's teacher and label sets before it begins: raysearch targets build search_spaces/quickstart.yaml"""
    loaded = raysearch.load_spec(spec, overrides or [])
    made = None if as_json else _print_label_set
    found = raysearch.build_label_sets(loaded, storage=storage, say=say, made=made)
    if as_json:
        print_json(asdict(found))
        return
    for method in found.without:
        print(f"no label sets: {method} asks for none")
    for key in found.on_demand:
        print(f"{key}: a range; beyond the points of search.start, trials have their label sets built when they ask")


def _print_label_set(one: StoredLabels) -> None:
    features = f"layer {one.layer}" if one.layer else "MFCCs"
    took = "there already" if one.seconds is None else f"{one.seconds:.1f} s"
    print(f"{one.kind} {one.id}: {one.clusters} clusters of {features}, {one.bytes / 1e6:.2f} MB, {took}")


def targets_gc(
    unused_days: Annotated[float, typer.Option(min=0, help="What nothing asked for in so long goes.")] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Remove what nothing asks for in the store, and resume states of ended trials off the front."""
    from raysearch.storage.garbage import STORED

    garbage = raysearch.remove_garbage(unused_days=unused_days, dry_run=dry_run, storage=storage)
    for why in garbage.unread.values():
        say(f"kept as it is: {why}")
    for what, why in garbage.stuck.items():
        say(f"{what}: {why}; expected a place that you may write")
    trials: dict[str, list[int]] = {}
    for name, number in garbage.checkpoints:
        trials.setdefault(name, []).append(number)
    if as_json:
        stored = {kind: sorted(sizes) for kind, sizes in garbage.stored.items()}
        print_json({"removed": not dry_run, "bytes": garbage.bytes, **stored, "checkpoints": trials})
        raise typer.Exit(1 if garbage.stuck else 0)
    for name, numbers in trials.items():
        print(f"{name}: checkpoints of {len(numbers)} ended trials off the front")
    print(", ".join(f"{STORED[kind]}: {len(sizes)}" for kind, sizes in garbage.stored.items()))
    print(f"{'would free' if dry_run else 'freed'}: {garbage.bytes / 1e6:.1f} MB")
    raise typer.Exit(1 if garbage.stuck else 0)
