"""Shar archives: the same audio as the files they were made of, each archive read once, broken ones survived."""

import gzip
import json
import os
import socket
import tarfile
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from raysearch.corpora.batches import AudioStore, TrainingBatches, evaluation_batches, load_audio
from raysearch.corpora.check import check_corpus
from raysearch.corpora.corpus import Fault
from raysearch.corpora.pieces import in_pieces
from raysearch.corpora.readers import shar
from raysearch.corpora.readers.shar import read_shar
from raysearch.corpora.settings import SPLITS, SharSettings
from raysearch.errors import InputError, WorkError
from raysearch.files.remote import Remote
from raysearch.methods.table import load_method
from raysearch.methods.trial import Trial
from raysearch.training.recipe import not_evaluated
from tests.away import SAID, memory_is_away
from tests.s3 import s3_bucket

torch.set_num_threads(1)


@pytest.fixture
def archives(tones, tmp_path):
    for split, cuts in tones.splits.items():
        (tmp_path / split).mkdir()
        cuts.to_shar(str(tmp_path / split), fields={"recording": "flac"}, shard_size=2)
    return tmp_path


@pytest.fixture
def fetched(monkeypatch):
    """How often each archive was fetched."""
    counts = Counter()
    fetch = shar._fetch

    def counting(file):
        counts[file] += file.endswith(".tar")
        return fetch(file)

    monkeypatch.setattr(shar, "_fetch", counting)
    return counts


def settings(place, **more):
    return SharSettings(splits={split: f"{place}/{split}" for split in SPLITS}, **more)


def test_archives_then_audio_and_words_are_those_of_the_files(tones, archives):
    corpus = read_shar(settings(archives))
    for split, cuts in tones.splits.items():
        found = {cut.id: cut for cut in corpus.splits[split]}
        assert sorted(found) == sorted(cut.id for cut in cuts)
        for cut in cuts:
            assert np.array_equal(corpus.audio.audio(found[cut.id]), load_audio(cut))
            assert found[cut.id].supervisions[0].custom == cut.supervisions[0].custom


def test_training_and_evaluation_then_each_archive_is_read_once(archives, fetched, monkeypatch):
    monkeypatch.setattr("raysearch.corpora.batches._SHARDS_TOGETHER", 2)
    monkeypatch.setattr(shar, "IN_MEMORY", 2)
    corpus = read_shar(settings(archives))
    # Nothing decoded is kept, as where a corpus is larger than memory.
    audio = AudioStore(0, corpus.audio._read_cut)
    batches = TrainingBatches(corpus.splits["train"], audio, batch_s=3.0, seed=1)
    stream = batches.from_step(0)
    seen = Counter(cut.id for _ in range(batches.steps_per_epoch) for cut in next(stream).cuts)
    assert set(seen.values()) == {1}
    assert len(seen) == 10
    tars = {file: count for file, count in fetched.items() if count}
    assert set(tars.values()) == {1}
    assert len(tars) == 5
    list(evaluation_batches(corpus.splits["dev"], audio, batch_s=60.0))
    assert all(count == 1 for count in fetched.values() if count)


def test_resumed_stream_then_the_same_batches_in_every_epoch(archives, monkeypatch):
    monkeypatch.setattr("raysearch.corpora.batches._SHARDS_TOGETHER", 2)
    corpus = read_shar(settings(archives))
    batches = TrainingBatches(corpus.splits["train"], corpus.audio, batch_s=3.0, seed=1)
    whole, later = batches.from_step(0), batches.from_step(batches.steps_per_epoch + 2)
    ids = [[cut.id for cut in next(whole).cuts] for _ in range(2 * batches.steps_per_epoch)]
    assert [cut.id for cut in next(later).cuts] == ids[batches.steps_per_epoch + 2]
    assert ids[: batches.steps_per_epoch] != ids[batches.steps_per_epoch :]


def test_pieces_then_the_audio_of_their_stretch_of_the_cut(tones, archives):
    pieces = in_pieces(read_shar(settings(archives)), 0.25)
    for cut in tones.splits["train"]:
        own = [piece for piece in pieces.splits["train"] if piece.id.startswith(f"{cut.id}:")]
        assert np.array_equal(np.concatenate([pieces.audio.audio(piece) for piece in own]), load_audio(cut))


def test_pieces_of_a_corrupt_recording_then_it_is_counted_once(archives):
    corrupt(archives / "train" / "recording.000000.tar", "train0")
    pieces = in_pieces(read_shar(settings(archives, max_skipped=0.1)), 0.25)
    batches = list(evaluation_batches(pieces.splits["train"], pieces.audio, batch_s=60.0))
    assert {cut.id.split(":")[0] for batch in batches for cut in batch.cuts} == {f"train{i}" for i in range(1, 10)}


def corrupt(archive: Path, cut: str) -> None:
    """Overwrites a cut's audio in place."""
    with tarfile.open(archive) as tar:
        member = tar.getmember(f"{cut}.flac")
    with archive.open("r+b") as file:
        file.seek(member.offset_data)
        file.write(bytes(member.size))


def test_corrupt_recording_then_left_out_and_counted_until_they_are_too_many(archives, caplog):
    corrupt(archives / "train" / "recording.000000.tar", "train0")
    for max_skipped, fate in ((0.2, "left out"), (0.0, "refused")):
        corpus = read_shar(settings(archives, max_skipped=max_skipped))
        batches = evaluation_batches(corpus.splits["train"], corpus.audio, batch_s=60.0)
        if fate == "refused":
            with pytest.raises(InputError, match=r"corpus.max_skipped: 1 recording cannot be read, the last train0"):
                list(batches)
        else:
            assert sorted(cut.id for batch in batches for cut in batch.cuts) == [f"train{i}" for i in range(1, 10)]
            assert "train0: does not decode" in caplog.text


def test_archive_that_ends_early_then_its_last_cuts_are_left_out(archives):
    file = archives / "train" / "recording.000000.tar"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    corpus = read_shar(settings(archives, max_skipped=0.5))
    batches = evaluation_batches(corpus.splits["train"], corpus.audio, batch_s=60.0)
    assert 8 <= sum(len(batch.cuts) for batch in batches) < 10


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda train: [file.unlink() for file in train.iterdir()], r"corpus.splits.train: .*: no cuts"),
        (
            lambda train: (train / "cuts.000000.jsonl.gz").write_bytes(b"{"),
            r"splits.train: .*expected JSON lines",
        ),
    ],
)
def test_bad_split_then_one_line(archives, spoil, said):
    spoil(archives / "train")
    with pytest.raises(InputError, match=said):
        read_shar(settings(archives))


def edit_first(archives: Path, split: str, **changed: object) -> None:
    """Changes the supervision of a split's first cut."""
    file = archives / split / "cuts.000000.jsonl.gz"
    first, *rest = gzip.decompress(file.read_bytes()).splitlines()
    cut = json.loads(first)
    cut["supervisions"][0].update(changed)
    file.write_bytes(gzip.compress(b"\n".join([json.dumps(cut).encode(), *rest])))


@pytest.mark.parametrize("blank", ["", " ", "?!", "\u200b"])
def test_blank_text_is_left_out_and_counted(archives, blank):
    edit_first(archives, "train", text=blank)
    corpus = read_shar(settings(archives, max_skipped=0.2))
    assert corpus.faults == (Fault("train0", "empty transcript"),)
    assert len(corpus.splits["train"]) == 9


def test_speaker_may_be_a_number_and_a_transcript_may_not(archives):
    edit_first(archives, "train", speaker=7)
    edit_first(archives, "dev", text=5)
    corpus = read_shar(settings(archives, max_skipped=0.5))
    supervision = corpus.splits["train"]["train0"].supervisions[0]
    assert supervision.speaker == "7"
    assert corpus.faults == (Fault("dev0", "text: 5; expected a text"),)


def test_recordings_in_archives_are_not_taken_for_one_that_splits_share(archives):
    assert not [line for line in check_corpus(read_shar(settings(archives))).warnings if "recording" in line]


def test_archive_that_was_packed_is_not_unpacked(archives, caplog):
    file = archives / "train" / "recording.000000.tar"
    file.write_bytes(gzip.compress(file.read_bytes()))
    corpus = read_shar(settings(archives, max_skipped=0.5))
    assert sum(len(batch.cuts) for batch in evaluation_batches(corpus.splits["train"], corpus.audio, batch_s=60.0)) == 8
    assert "not in its archive" in caplog.text


def test_archive_that_cannot_be_had_then_given_up_in_one_line(archives, monkeypatch):
    monkeypatch.setattr(shar._fetch.retry, "sleep", lambda seconds: None)
    corpus = read_shar(settings(archives))
    (archives / "dev" / "recording.000001.tar").unlink()
    with pytest.raises(WorkError, match=r"recording.000001.tar: .*; given up after 6 attempts"):
        list(evaluation_batches(corpus.splits["dev"], corpus.audio, batch_s=60.0))


def test_store_that_is_away_is_asked_several_times(monkeypatch):
    monkeypatch.setattr(shar._fetch.retry, "sleep", lambda seconds: None)
    memory_is_away(monkeypatch)
    with pytest.raises(WorkError, match=rf"^memory://away/a.tar: .*{SAID}.*; given up after 6 attempts"):
        list(shar._unpacked("memory://away/a.tar"))


class Cutting(threading.Thread):
    """A proxy that cuts the first connections in the middle of a large answer."""

    def __init__(self, target: tuple[str, int], cuts: int) -> None:
        super().__init__(daemon=True)
        self.target, self.left = target, cuts
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self) -> None:
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(self.target)
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(4096):
                sink.sendall(data)
                if answers and self.left and len(data) == 4096:
                    self.left -= 1
                    break
        except OSError:
            pass
        for end in (source, sink):
            end.close()


def test_training_from_s3_then_no_copies_and_cut_connections_are_survived(
    archives, small_teacher, tone_labels, tmp_path, monkeypatch
):
    with s3_bucket() as bucket:
        for file in sorted(archives.glob("*/*")):
            Remote(bucket).write(f"{file.parent.name}/{file.name}", file.read_bytes())
        host, port = shar_endpoint()
        proxy = Cutting((host, port), cuts=3)
        proxy.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        students = [
            trained(read_shar(settings(place)), small_teacher, tone_labels, tmp_path / name)
            for name, place in (("local", archives), ("remote", bucket))
        ]
        assert proxy.left == 0
    assert students[0] == students[1]
    assert not [path for path in (tmp_path / "remote").rglob("*") if path.suffix in (".tar", ".flac", ".wav")]


def shar_endpoint() -> tuple[str, int]:
    host, port = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://").split(":")
    return host, int(port)


def trained(corpus, teacher, labels, folder):
    """Losses of a short DiceHuBERT trial."""
    method = load_method("dicehubert")
    shape = {"depth": 1, "width": 16, "heads": 2, "channels": 8, "position_kernel": 3}
    document = {"student": shape, "targets": {"clusters": 4}, "training": {"batch_s": 4.0}}
    trial = Trial(
        number=0,
        settings=method.Settings.model_validate(document),
        corpus=corpus,
        teacher=teacher,
        label_set=labels,
        evaluate=not_evaluated,
        rungs=(6,),
        folder=folder,
        device=torch.device("cpu"),
        seed=0,
    )
    (report,) = method().run(trial)
    return report.metrics["train/loss"]
