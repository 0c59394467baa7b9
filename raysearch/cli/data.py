"""Verbs on corpora and label sets."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from raysearch.cli.options import Json, Set, Storage, choices
from raysearch.cli.output import print_json, say


def corpus_check(document: Path, overrides: Set = None, storage: Storage = None, as_json: Json = False) -> None:
    """Hours, speakers and faults of a search document's corpus."""
    from raysearch.corpora.check import check_corpus
    from raysearch.corpora.readers.table import read_corpus
    from raysearch.spec.loading import load_spec
    from raysearch.storage.folder import SearchFolder

    settings = load_spec(document, overrides or []).corpus
    # A check reports every fault, however many: the limit is for searches.
    lenient = settings.model_copy(update={"max_skipped": 1.0})
    checked = check_corpus(read_corpus(lenient, SearchFolder.of(storage, "").store.corpora))
    if as_json:
        print_json(checked.document())
    else:
        print("\n".join(checked.lines()))


def corpus_prepare(
    kind: Annotated[str, typer.Argument(help="librispeech, voxceleb, commonvoice, ...; a wrong one lists them all.")],
    root: Annotated[Path, typer.Argument(help="Folder of the corpus as its archives unpack.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write manifests to.")],
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Validate a corpus and write its manifests, once: raysearch corpus prepare commonvoice cv/en -o prepared/cv-en"""
    from raysearch.corpora.prepare import KINDS, MARKER, corpus_settings, prepare
    from raysearch.spec.overrides import override

    choices("KIND", [kind], KINDS)
    changes: dict[str, Any] = {}
    for one in overrides or []:
        override(changes, one)
    checked = prepare(corpus_settings(kind, root, changes), out)
    splits = ", ".join(f"{split}: {out / split}.jsonl.gz" for split in ("train", "dev", "test"))
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
    from raysearch.corpora.settings import SplitCounts, SyntheticSettings
    from raysearch.corpora.synthetic.synthesise import synthesise

    counts = SplitCounts(train=utterances, dev=80, test=80)
    synthesise(SyntheticSettings(utterances=counts, seed=seed), out)
    print(out)


def targets_ls(storage: Storage = None, as_json: Json = False) -> None:
    """Label sets in the store, with their quality."""
    from raysearch.storage.folder import SearchFolder

    found = [label_set.document() for label_set in SearchFolder.of(storage, "").store.label_sets.ls()]
    if as_json:
        print_json(found)
        return
    for one in found:
        print(
            "  ".join(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in one.items()
            )
        )


def targets_build(spec: Path, overrides: Set = None, storage: Storage = None, as_json: Json = False) -> None:
    """Make a search's teacher and label sets before it begins: raysearch targets build search_spaces/quickstart.yaml"""
    import torch

    from raysearch.planning.label_sets import make_label_sets
    from raysearch.planning.wanted_labels import asks_for_labels, searched_ranges
    from raysearch.spec.loading import load_spec
    from raysearch.storage.folder import SearchFolder

    loaded = load_spec(spec, overrides or [])
    device = torch.device("cuda" if torch.cuda.is_available() and loaded.workers.use_gpu else "cpu")
    made = []
    for one in make_label_sets(loaded, SearchFolder.of(storage, loaded.name), device, say):
        made.append(asdict(one))
        if not as_json:
            features = f"layer {one.layer}" if one.layer else "MFCCs"
            took = "there already" if one.seconds is None else f"{one.seconds:.1f} s"
            print(f"{one.kind} {one.id}: {one.clusters} clusters of {features}, {one.bytes / 1e6:.2f} MB, {took}")
    without = [method for method in loaded.methods if not asks_for_labels(loaded, method)]
    ranges = list(dict.fromkeys(key for method in loaded.methods for key in searched_ranges(loaded, method)))
    if as_json:
        print_json({"label_sets": made, "without": without, "on_demand": ranges})
        return
    for method in without:
        print(f"no label sets: {method} asks for none")
    for key in ranges:
        print(f"{key}: a range; beyond the points of search.start, trials have their label sets built when they ask")


def targets_gc(
    unused_days: Annotated[float, typer.Option(min=0, help="Label sets that nothing asked for in so long go.")] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Remove unused label sets and bins, and the resume states of ended trials. The front's trials keep everything."""
    import time

    from raysearch.search.reading import ended_off_front
    from raysearch.storage.folder import SearchFolder
    from raysearch.storage.garbage import find_garbage, remove_garbage

    place = SearchFolder.of(storage, "")
    garbage = find_garbage(place, time.time() - 86_400 * unused_days, ended_off_front)
    if not dry_run:
        remove_garbage(place, garbage)
    trials: dict[str, list[int]] = {}
    for name, number in garbage.checkpoints:
        trials.setdefault(name, []).append(number)
    if as_json:
        sets = sorted(garbage.label_sets)
        found = {"label_sets": sets, "mels": sorted(garbage.mels), "checkpoints": trials}
        print_json({"removed": not dry_run, "bytes": garbage.bytes, **found})
        return
    for name, numbers in trials.items():
        print(f"{name}: checkpoints of {len(numbers)} ended trials off the front")
    print(f"label sets: {len(garbage.label_sets)}, log-mel bins of corpora: {len(garbage.mels)}")
    print(f"{'would free' if dry_run else 'freed'}: {garbage.bytes / 1e6:.1f} MB")
