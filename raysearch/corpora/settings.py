"""Where a corpus comes from, as a spec says it under `corpus:`. No torch and no lhotse here.

Relative paths are relative to the working directory. Folders and files are looked at when the corpus is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, field_validator, model_validator

from raysearch.settings import Settings

SPLITS = ("train", "dev", "test")
"""Train teaches; dev chooses; test is reported on, and chooses nothing."""
LocalPath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
"""Absolute from the start: workers run in other folders than the command."""


class ReadingSettings(Settings):
    """What every kind of corpus has."""

    max_skipped: float = Field(0.05, ge=0, le=1)
    """Share of a split's cuts that may be unusable (unreadable, wrong rate, no transcript); more is an error."""
    min_s: float = Field(0.1, gt=0)
    """Shorter cuts are left out of every split, in seconds: an encoder needs a few frames."""
    max_s: float = Field(30.0, gt=0)
    """Longer cuts are left out of the training split, in seconds: one long cut decides how much memory a batch needs.
    Dev and test keep theirs, so that errors stay comparable."""

    @model_validator(mode="after")
    def _ordered(self) -> ReadingSettings:
        if self.min_s >= self.max_s:
            raise ValueError(f"min_s: {self.min_s}; expected less than max_s = {self.max_s}")
        return self


class SpeakerList(Settings):
    """Recordings and who speaks in them: lines `<speaker> <path>`, as VoxCeleb's training lists have them."""

    file: LocalPath
    """The list."""
    root: LocalPath | None = None
    """Where its paths start; by default `wav` beside the list where that exists, else the list's own folder."""


class TrialList(Settings):
    """Pairs of recordings: lines `1 <path> <path>` of one speaker, `0 <path> <path>` of two, as VoxCeleb's lists are.

    Paths end with `<speaker>/<session>/<utterance>`."""

    file: LocalPath
    """The list."""
    root: LocalPath | None = None
    """Where its paths start; by default `wav` beside the list where that exists, else the list's own folder."""


class An4Settings(ReadingSettings):
    """AN4 (census answers, 16 kHz) laid out like LibriSpeech, in folders `train`, `dev` and `test`."""

    kind: Literal["an4"] = "an4"
    root: LocalPath
    """Folder that holds `train`, `dev` and `test`."""
    phones: LocalPath | None = None
    """Folder of `an4-<split>.txt` files with lines `<utterance> PH PH ...`; by default `phones`, two folders above
    root, where it exists."""
    more: list[SpeakerList] = []
    """Lists of recordings of other speakers, without transcripts, that are trained on as well."""


class SplitFolders(Settings):
    """Folders below root that make each split."""

    train: list[str] = Field(["train-clean-100"], min_length=1)
    """Folders to train on."""
    dev: list[str] = Field(["dev-clean"], min_length=1)
    """Folders that choose: rungs and fronts use their errors."""
    test: list[str] = Field(["test-clean"], min_length=1)
    """Folders that are reported on, and choose nothing."""

    @model_validator(mode="after")
    def _disjoint(self) -> SplitFolders:
        folders = [*self.train, *self.dev, *self.test]
        twice = sorted({name for name in folders if folders.count(name) > 1})
        if twice:
            raise ValueError(f"splits: {', '.join(twice)} named twice; expected each folder once")
        return self


class LibriSpeechSettings(ReadingSettings):
    """LibriSpeech, or any corpus in its layout: `<folder>/<speaker>/<chapter>/<utterance>.flac`."""

    kind: Literal["librispeech"] = "librispeech"
    root: LocalPath
    """Folder that holds the folders named in `splits`, and `SPEAKERS.TXT` if there is one."""
    splits: SplitFolders = SplitFolders()
    phones: LocalPath | None = None
    """Folder of `<name of root>-<folder>.txt` files with lines `<utterance> PH PH ...`, one for each folder named in
    `splits`; needed for PER only."""


class VoxCelebSettings(ReadingSettings):
    """VoxCeleb, or any recordings in its layout: speakers and trial lists, no transcripts."""

    kind: Literal["voxceleb"] = "voxceleb"
    train: list[SpeakerList] = Field(min_length=1)
    """Lists to train on, of one corpus or several."""
    dev: TrialList
    """Pairs that choose; their recordings are the dev split."""
    test: TrialList
    """Pairs that are reported on, and choose nothing."""


class SplitManifests(Settings):
    """One lhotse cut manifest (JSON lines, `.jsonl` or `.jsonl.gz`) for each split."""

    train: LocalPath
    """Cuts to train on."""
    dev: LocalPath
    """Cuts that choose: rungs and fronts use their errors."""
    test: LocalPath
    """Cuts that are reported on, and choose nothing."""


class ManifestSettings(ReadingSettings):
    """Any corpus that lhotse describes. Audio must be 16 kHz mono files: nothing is resampled."""

    kind: Literal["manifest"] = "manifest"
    splits: SplitManifests


class SplitArchives(Settings):
    """One folder or URI of Shar archives for each split."""

    train: str
    """Archives to train on."""
    dev: str
    """Archives that choose: rungs and fronts use their errors."""
    test: str
    """Archives that are reported on, and choose nothing."""

    @field_validator(*SPLITS)
    @classmethod
    def _absolute(cls, place: str) -> str:
        # Workers run in other folders than the command.
        return place if "://" in place else str(Path(place).expanduser().absolute())


class SharSettings(ReadingSettings):
    """lhotse's Shar archives, read one after the other and never copied: for corpora that no local disk holds."""

    kind: Literal["shar"] = "shar"
    splits: SplitArchives


class SplitCounts(Settings):
    """How many in each split."""

    train: PositiveInt
    """In the training split."""
    dev: PositiveInt
    """In the split that chooses."""
    test: PositiveInt
    """In the split that is reported on."""


class SyntheticSettings(ReadingSettings):
    """Short sentences over 60 words, spoken by espeak-ng in many voices. For trying things out, not for claims."""

    kind: Literal["synthetic"] = "synthetic"
    speakers: SplitCounts = SplitCounts(train=16, dev=4, test=4)
    """Voices of each split; no voice is in two splits."""
    utterances: SplitCounts = SplitCounts(train=600, dev=80, test=80)
    """Sentences of each split, shared out evenly over its voices. 600 are about 20 minutes of speech."""
    words: int = Field(6, ge=2)
    """Most words in a sentence; a second has about two."""
    seed: int = Field(0, ge=0)
    """Seed of voices, sentences, levels and pauses."""

    @model_validator(mode="after")
    def _every_speaker_speaks(self) -> SyntheticSettings:
        for split in SPLITS:
            speakers, utterances = getattr(self.speakers, split), getattr(self.utterances, split)
            if utterances < speakers:
                raise ValueError(f"utterances.{split}: {utterances}; expected at least speakers.{split} = {speakers}")
        return self


class AugmentationSettings(Settings):
    """How training speech is disturbed, one way a crop. Needs no recordings of noise or rooms, but takes them."""

    prob: float = Field(0.6, ge=0, le=1)
    """Share of the crops that are disturbed."""
    kinds: list[Literal["noise", "babble", "reverb", "speed"]] = Field(
        ["noise", "babble", "reverb", "speed"], min_length=1
    )
    """Ways, drawn evenly: coloured noise; three other cuts; a made-up room; a tenth faster or slower."""
    snr_db: tuple[float, float] = (5.0, 20.0)
    """Range of the speech's level above noise or babble, in decibels."""
    musan: LocalPath | None = None
    """Folder of noise recordings at 16 kHz, such as MUSAN's, in place of coloured noise."""
    rirs: LocalPath | None = None
    """Folder of room impulse responses at 16 kHz in place of made-up rooms."""


class LabelledSettings(ReadingSettings):
    """Recordings of one class each."""

    kind: Literal["labelled"] = "labelled"
    root: LocalPath
    """Folder of `<label>/<utterance>.flac` with a table of splits, or of `<split>/<label>/<utterance>.flac`."""
    table: LocalPath | None = None
    """CSV with the columns path (relative to root), label, split (train, dev or test) and perhaps speaker; by default
    `manifest.csv` in root, where it exists."""
    more: list[SpeakerList] = []
    """Lists of recordings of other speakers, without labels, that methods learn from as well; tasks leave them out."""


class IntentsSettings(ReadingSettings):
    """Spoken requests, each with an intent and slots."""

    kind: Literal["intents"] = "intents"
    root: LocalPath
    """Folder that paths in the manifest are relative to."""
    manifest: LocalPath | None = None
    """JSON lines `{"path", "split", "intent", "slots": {name: value}}`, where an absent slot has no key, and perhaps
    `text` and `speaker`; by default `manifest.jsonl` in root."""


class SlurpSettings(ReadingSettings):
    """SLURP as its repository lays it out."""

    kind: Literal["slurp"] = "slurp"
    root: LocalPath
    """Folder that holds `dataset/slurp/{train,devel,test}.jsonl`."""
    audio: LocalPath | None = None
    """Folder of the recordings; by default `audio/slurp_real` in root."""


class SpeechCommandsSettings(ReadingSettings):
    """Speech Commands as its archive unpacks."""

    kind: Literal["speech-commands"] = "speech-commands"
    root: LocalPath
    """Folder of one folder a word, with `validation_list.txt` and `testing_list.txt`."""


class CommonVoiceSettings(ReadingSettings):
    """One language of Common Voice. Clips at another rate than 16 kHz need `raysearch corpus prepare` first."""

    kind: Literal["commonvoice"] = "commonvoice"
    root: LocalPath
    """Folder of the language, that holds `train.tsv`, `dev.tsv` and `test.tsv`."""
    clips: LocalPath | None = None
    """Folder of the recordings; by default `clips` in root."""


class SeveralSettings(Settings):
    """Several labelled corpora as one, as in the LAPE benchmark: a student learns of all, and is judged on each."""

    kind: Literal["several"] = "several"
    corpora: list[LabelledSettings] = Field(min_length=2)
    """The corpora; the names of their folders must differ."""


CorpusSettings = Annotated[
    An4Settings
    | LibriSpeechSettings
    | VoxCelebSettings
    | ManifestSettings
    | SharSettings
    | SyntheticSettings
    | LabelledSettings
    | IntentsSettings
    | SlurpSettings
    | SpeechCommandsSettings
    | CommonVoiceSettings
    | SeveralSettings,
    Field(discriminator="kind"),
]
