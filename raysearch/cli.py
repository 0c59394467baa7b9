"""The verbs. Each parses, calls one function and prints; stdout is data, stderr is talk."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from raysearch.errors import InputError, WorkError

if TYPE_CHECKING:
    from raysearch.front.document import SearchDocument
    from raysearch.search.folder import SearchFolder

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Search the published ways to compress a speech encoder for the front of MACs against error.",
)
corpus_app = typer.Typer(no_args_is_help=True, help="Look at a corpus, or make a synthetic one.")
targets_app = typer.Typer(no_args_is_help=True, help="Label sets in the store.")
tracking_app = typer.Typer(no_args_is_help=True, help="The MLflow server with the page of the searches.")
app.add_typer(corpus_app, name="corpus")
app.add_typer(tracking_app, name="tracking")
app.add_typer(targets_app, name="targets")

Storage = Annotated[
    str | None,
    typer.Option(envvar="RAYSEARCH_STORAGE", help="Folder of the searches, or a database URL for the study."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the document.")]
Trials = Annotated[int | None, typer.Option(min=1, help="Number of trials.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster to use; without one, a Ray of its own here.")]


@app.command()
def search(
    spec: Path,
    name: Annotated[str | None, typer.Option(help="Name of the search instead of the document's.")] = None,
    trials: Trials = None,
    overrides: Set = None,
    storage: Storage = None,
    tracking: Annotated[str | None, typer.Option(envvar="MLFLOW_TRACKING_URI", help="MLflow to mirror to.")] = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Run a search to its end: raysearch search search_spaces/quickstart.yaml"""
    from raysearch.search.folder import SearchFolder
    from raysearch.spec import load_spec

    changes = [*(overrides or []), *([f"search.trials={trials}"] if trials else [])]
    loaded = load_spec(spec, changes, name=name)
    folder = SearchFolder.of(storage, loaded.name)
    from raysearch.search.run import start_search

    document = start_search(
        loaded,
        folder,
        study_url=storage if storage and "://" in storage else "",
        tracking=tracking or f"sqlite:///{folder.root / 'mlflow.db'}",
        address=address,
        say=_say,
    )
    _print_front(document, folder, as_json)


@app.command()
def resume(
    name: str, trials: Trials = None, storage: Storage = None, address: Address = None, as_json: Json = False
) -> None:
    """Finish an interrupted search, or extend it with --trials."""
    folder = _folder(storage, name)
    from raysearch.search.run import resume_search

    document = resume_search(folder, trials=trials, address=address, say=_say)
    _print_front(document, folder, as_json)


@app.command()
def status(
    name: Annotated[str | None, typer.Argument()] = None, storage: Storage = None, as_json: Json = False
) -> None:
    """Searches and their trials by state; of one also its front, its history, time spent, saved and left."""
    from raysearch.search.folder import SearchFolder, searches
    from raysearch.search.reading import read_status
    from raysearch.search.status import status_lines

    names = [name] if name else searches(SearchFolder.of(storage, "").root)
    found = [read_status(_folder(storage, one)) for one in names]
    if as_json:
        _print_json(found[0] if name else found)
        return
    for one in found:
        print("\n".join(status_lines(one, long=name is not None)))


@app.command()
def table(
    names: list[str],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write, ending in .jsonl.gz.")],
    storage: Storage = None,
) -> None:
    """Write the trials of finished searches on one space as a table, to simulate searches on."""
    from raysearch.search.reading import read_table_of
    from raysearch.search.trial_table import write_table

    found = read_table_of([_folder(storage, name) for name in names])
    write_table(found, out)
    print(f"{out}: {len(found.rows)} trials")


@app.command()
def simulate(
    table: Annotated[str, typer.Argument(help="File written by `raysearch table`, or synthetic:SEED.")],
    sampler: Annotated[str, typer.Option(help="ehvi, random, tpe, gp or nsga2.")] = "ehvi",
    scheduler: Annotated[str, typer.Option(help="fifo or pareto-asha.")] = "pareto-asha",
    workers: Annotated[int, typer.Option(min=1, help="Simulated lanes.")] = 4,
    trials: Trials = None,
    budget: Annotated[float | None, typer.Option(min=0, help="Worker-seconds, instead of --trials.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Searches to replay.")] = 1,
    as_json: Json = False,
) -> None:
    """Replay searches on recorded or made-up trials, without training."""
    from raysearch.search.replay import load_table, replay

    found = replay(
        load_table(table),
        sampler,
        scheduler,
        workers=workers,
        trials=trials or (24 if budget is None else None),
        budget_s=budget,
        seeds=seeds,
    )
    if as_json:
        _print_json(found)
        return
    for one in found:
        states = ", ".join(f"{count} {state}" for state, count in one["trials"].items())
        spent = f"{one['worker_seconds']:.0f} s of workers"
        print(f"seed {one['seed']}: {states}; front {len(one['front'])}, hypervolume {one['hypervolume']:.4g}; {spent}")


@app.command()
def front(
    name: str,
    storage: Storage = None,
    html: Annotated[Path | None, typer.Option(help="Write an interactive page.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write a picture.")] = None,
    markdown: Annotated[bool, typer.Option(help="Print the table as Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """The front, with confidence intervals."""
    from raysearch.search.reading import read_document

    folder = _folder(storage, name)
    document = read_document(folder)
    if html or png:
        from raysearch.front.plots import draw_html, draw_png

        for path, draw in ((html, draw_html), (png, draw_png)):
            if path:
                draw(document, path)
                _say(f"written: {path}")
    _print_front(document, folder, as_json, markdown=markdown)


@app.command()
def compare(names: list[str], storage: Storage = None, as_json: Json = False) -> None:
    """Fronts of several searches beside each other."""
    from raysearch.front.compare import compare as compare_documents
    from raysearch.front.compare import compare_table
    from raysearch.search.reading import read_document

    documents = [read_document(_folder(storage, name)) for name in names]
    if as_json:
        _print_json([row.model_dump(mode="json") for row in compare_documents(documents)])
    else:
        print(compare_table(documents))


@app.command()
def cost(
    document: Path,
    overrides: Set = None,
    seconds: Annotated[float | None, typer.Option(min=0.025, help="MACs at one length instead of SUPERB's 32.")] = None,
    as_json: Json = False,
) -> None:
    """Parameters and MACs of an encoder document or of a spec's student, without training."""
    from raysearch.encoder import cost as closed_form
    from raysearch.encoder.config import SAMPLE_RATE_HZ
    from raysearch.spec import load_encoder_document

    config = load_encoder_document(document, overrides or [])
    samples = closed_form.SUPERB_SAMPLES if seconds is None else [round(seconds * SAMPLE_RATE_HZ)]
    parts: dict[str, int] = {}
    for length in samples:
        for part, macs in closed_form.cost_parts(config, length).items():
            parts[part] = parts.get(part, 0) + macs
    total = sum(parts.values())
    found = {
        "params": closed_form.params(config),
        "macs_g": total / 1e9,
        "seconds": seconds or sum(samples) / SAMPLE_RATE_HZ,
        "parts_g": {part: macs / 1e9 for part, macs in parts.items()},
    }
    if as_json:
        _print_json(found)
        return
    print(f"params: {found['params']:,}")
    over = f"{seconds:g} s of audio" if seconds else f"SUPERB's 32 utterances, {found['seconds']:.2f} s"
    print(f"macs: {total / 1e9:.2f} GMAC over {over}")
    for part, macs in parts.items():
        print(f"  {part:18s} {macs / 1e9:10.2f} GMAC  {100 * macs / total:5.1f} %")


@app.command()
def sync(
    name: str,
    storage: Storage = None,
    tracking: Annotated[str | None, typer.Option(help="MLflow to fill instead of the search's own.")] = None,
    follow_stdin: Annotated[bool, typer.Option("--follow", hidden=True, help="Go on until stdin closes.")] = False,
) -> None:
    """Push to MLflow what it lacks of a search."""
    from raysearch.search.reading import read_state
    from raysearch.tracking.follow import fail_fast, follow
    from raysearch.tracking.mirror import Mirror

    folder = _folder(storage, name)
    mirror = Mirror(tracking or folder.links().tracking, artifact_root=str(folder.root / "mlartifacts"))
    if follow_stdin:
        fail_fast()
        complete = follow(lambda: read_state(folder), mirror, _stdin_closed, period_s=10.0, last_s=90.0)
        raise typer.Exit(0 if complete else 1)
    print(mirror.sync(read_state(folder)))


@app.command()
def pick(
    name: str,
    max_macs: Annotated[list[float] | None, typer.Option(help="GMAC; several budgets give several picks.")] = None,
    max_params: Annotated[float | None, typer.Option(help="Millions of parameters.")] = None,
    max_size: Annotated[float | None, typer.Option(help="MB of the exported file.")] = None,
    max_latency: Annotated[float | None, typer.Option(help="Median ms on this machine.")] = None,
    max_error: Annotated[list[str] | None, typer.Option("--max", metavar="METRIC=PERCENT", help="On dev.")] = None,
    objective: Annotated[str | None, typer.Option(help="What is least; by default the search's error.")] = None,
    knee: Annotated[bool, typer.Option(help="Where more MACs begin to buy less.")] = False,
    precision: Annotated[list[str] | None, typer.Option(help="fp32, fp16, int8; the first one is shipped.")] = None,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Recordings at once, for the latency.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of each, for the latency.")] = 10.0,
    register: Annotated[str | None, typer.Option(metavar="MODEL", help="Register with MLflow under this name.")] = None,
    alias: Annotated[str, typer.Option(help="Several budgets add theirs: candidate-160g.")] = "candidate",
    storage: Storage = None,
    tracking: Annotated[str | None, typer.Option(help="MLflow to register with, if not the search's own.")] = None,
    as_json: Json = False,
) -> None:
    """Choose from the front, export, measure what is shipped, register: raysearch pick NAME --max-macs 160"""
    from raysearch.deploy.latency import Load
    from raysearch.deploy.picking import PickOrder, pick_trials, picks_text

    order = PickOrder(
        budgets=max_macs or [None],
        params_m=max_params,
        size_mb=max_size,
        latency_ms=max_latency,
        errors=_percentages(max_error or []),
        objective=objective,
        knee=knee,
        precisions=_choices("--precision", precision or ["fp32"], ("fp32", "fp16", "int8")),
        load=Load(threads=threads, batch=batch, seconds=seconds),
        model=register,
        alias=alias,
        tracking=tracking,
    )
    picked = pick_trials(_folder(storage, name), order, _say)
    if as_json:
        _print_json({"name": name, "picks": [one.model_dump(mode="json") for one in picked]})
    else:
        print(picks_text(picked))


@app.command()
def export(
    name: str,
    trial: int,
    out: Annotated[Path, typer.Option("-o", "--out", help="New folder.")],
    formats: Annotated[list[str] | None, typer.Option("--format", help="onnx, pt2 or safetensors; repeatable.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="Of ONNX: fp32, fp16, int8; repeatable.")] = None,
    task: Annotated[str | None, typer.Option(help="Whose head; by default the one searched for.")] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Write a trial as a whole model, waveform in, log-probabilities out. Not for streaming."""
    from raysearch.deploy.export import export_trial

    manifest = export_trial(
        _folder(storage, name),
        trial,
        out,
        task=task,
        formats=_choices("--format", formats or ["onnx"], ("onnx", "pt2", "safetensors")),
        precisions=_choices("--precision", precision or ["fp32"], ("fp32", "fp16", "int8")),
        say=_say,
    )
    if as_json:
        _print_json(manifest.model_dump(mode="json"))
        return
    for file in manifest.files:
        print(f"{out / file}: {(out / file).stat().st_size / 1e6:.2f} MB")


@app.command()
def verify(out: Annotated[Path, typer.Argument(metavar="DIR")], storage: Storage = None, as_json: Json = False) -> None:
    """Compare an export with its checkpoint on real audio. Exit 1 if they differ."""
    from raysearch.deploy.verify import verify as verify_export

    verdict = verify_export(out, Path(storage).resolve() if storage and "://" not in storage else None)
    if as_json:
        _print_json(verdict.document())
    else:
        print(verdict.table())
    if not verdict.ok:
        raise typer.Exit(1)


@app.command()
def transcribe(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx")],
    audio: list[Path],
    threads: Annotated[int, typer.Option(min=0, help="0: onnxruntime decides.")] = 0,
    as_json: Json = False,
) -> None:
    """Text of 16 kHz mono recordings, from an exported model and without torch."""
    from raysearch.deploy.transcribe import transcribe as read_files

    rows = read_files(model, audio, threads)
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        if not row["whole"]:
            _say(f"{row['file']}: {row['seconds']:.0f} s; read in overlapping windows")
        print(f"{row['file']}: {row['text']}" if len(rows) > 1 else row["text"])


@app.command()
def reproduce(
    name: str,
    trial: int,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="New folder for the new run.")] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Run a trial again from its record and say what differs. Exit 1 if its error leaves the recorded interval."""
    from raysearch.deploy.reproduce import reproduce as run_again

    folder = _folder(storage, name)
    found = run_again(folder, trial, out or folder.path / "reproduced" / f"{trial:04d}", _say)
    if as_json:
        _print_json(found.model_dump(mode="json"))
    else:
        print(found.text())
    if not found.within:
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """The search document's JSON schema, for editors."""
    from raysearch.spec import Spec

    _print_json(Spec.model_json_schema())


@corpus_app.command("check")
def corpus_check(document: Path, overrides: Set = None, storage: Storage = None, as_json: Json = False) -> None:
    """Hours, speakers and faults of a search document's corpus."""
    from raysearch.corpora.check import check_corpus
    from raysearch.corpora.table import read_corpus
    from raysearch.search.folder import SearchFolder
    from raysearch.spec import load_spec

    settings = load_spec(document, overrides or []).corpus
    # A check reports every fault, however many: the limit is for searches.
    lenient = settings.model_copy(update={"max_skipped": 1.0})
    checked = check_corpus(read_corpus(lenient, SearchFolder.of(storage, "").store / "corpora"))
    if as_json:
        _print_json(checked.document())
    else:
        for row in checked.rows():
            print(row)


@corpus_app.command("synth")
def corpus_synth(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write, in LibriSpeech layout.")],
    utterances: Annotated[int, typer.Option(min=16, help="Sentences to train on; 600 are about 20 minutes.")] = 600,
    seed: Annotated[int, typer.Option(min=0, help="Seed of voices, sentences, levels and pauses.")] = 0,
) -> None:
    """Write a synthetic multi-speaker corpus with transcripts and phones."""
    from raysearch.corpora.settings import SplitCounts, SyntheticSettings
    from raysearch.corpora.synthetic import synthesise

    counts = SplitCounts(train=utterances, dev=80, test=80)
    synthesise(SyntheticSettings(utterances=counts, seed=seed), out)
    print(out)


@targets_app.command("ls")
def targets_ls(storage: Storage = None, as_json: Json = False) -> None:
    """Label sets in the store, with their quality."""
    from raysearch.search.folder import SearchFolder
    from raysearch.targets.store import LabelStore

    found = [label_set.document() for label_set in LabelStore(SearchFolder.of(storage, "").store / "label_sets").ls()]
    if as_json:
        _print_json(found)
        return
    for one in found:
        print(
            "  ".join(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in one.items()
            )
        )


@tracking_app.command("up")
def tracking_up(
    storage: Storage = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond localhost turn authentication on.")
    ] = "127.0.0.1",
) -> None:
    """Start MLflow with the page of the searches on this machine: SQLite and local artifacts."""
    from raysearch.search.folder import SearchFolder
    from raysearch.tracking.server import serve

    _say(f"fronts: http://{host}:{port}/raysearch/")
    serve(SearchFolder.of(storage, "").root.resolve(), host, port)


def _choices(option: str, given: list[str], known: tuple[str, ...]) -> Any:
    for one in given:
        if one not in known:
            raise InputError(f"{option}: {one}; expected one of {', '.join(known)}")
    return list(dict.fromkeys(given))


def _percentages(given: list[str]) -> dict[str, float]:
    found = {}
    for one in given:
        metric, _, bound = one.partition("=")
        try:
            found[metric.removeprefix("eval/")] = float(bound)
        except ValueError as err:
            raise InputError(f"--max: {one}; expected METRIC=PERCENT, e.g. per=20") from err
    return found


def _folder(storage: str | None, name: str) -> SearchFolder:
    from raysearch.search.folder import SearchFolder

    folder = SearchFolder.of(storage, name)
    folder.links()
    return folder


def _print_front(document: SearchDocument, folder: SearchFolder, as_json: bool, *, markdown: bool = False) -> None:
    from raysearch.front.table import markdown_table, text_table

    if as_json:
        _print_json(document.model_dump(mode="json"))
        return
    print(markdown_table(document) if markdown else text_table(document))
    pictures = [path for kind in ("png", "html") if (path := folder.path / f"front.{kind}").exists()]
    if pictures:
        _say("pictures: " + ", ".join(str(path) for path in pictures))


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, allow_nan=False, default=str))


def _stdin_closed() -> bool:
    import select

    # Nothing is ever written to it: readable means closed.
    return bool(select.select([sys.stdin], [], [], 0)[0])


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> NoReturn:
    """Entry point: errors become one line and an exit code."""
    try:
        code = app(standalone_mode=False)
    except InputError as err:
        _say(str(err))
        code = 2
    except WorkError as err:
        _say(str(err))
        code = 1
    except typer.Abort:
        code = 130
    except KeyboardInterrupt:
        code = 130
    except Exception as err:
        # Click's own complaints about arguments; anything else is a fault of ours and keeps its traceback.
        if not hasattr(err, "format_message"):
            raise
        _say(f"raysearch: {err.format_message()}")
        code = 2
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
