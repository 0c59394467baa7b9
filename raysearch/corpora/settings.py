"""Settings of corpora, which a search document has under `corpus:`. Neither torch nor lhotse is imported here.

Relative paths are relative to the working directory. Whether folders and files exist is seen when the corpus is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from raysearch.settings import Count, Seconds, Seed, Settings, local_path

SPLITS = ("train", "dev", "test")
"""Names of the splits. Students learn from train, dev chooses among them, and test is only reported on."""
LocalPath = Annotated[Path, AfterValidator(local_path)]
"""A path that is made absolute at once, because workers run in other folders than the command."""


class ReadingSettings(Settings):
    """Settings that every kind of corpus has."""

    max_skipped: float = Field(0.05, ge=0, le=1)
    """Share of a split's cuts that may be unusable (unreadable, wrong rate, no transcript). More is an error."""
    min_s: Seconds = 0.1
    """Seconds below which cuts are left out of every split, because an encoder needs a few frames."""
    max_s: float = Field(30.0, gt=0, le=1e9)
    """Seconds above which cuts are left out of the training split, because one long cut decides how much memory a batch
    needs. Dev and test keep long cuts, so that errors stay comparable."""

    @model_validator(mode="after")
    def _ordered(self) -> ReadingSettings:
        if self.min_s >= self.max_s:
            raise ValueError(f"min_s: {self.min_s}; expected less than max_s = {self.max_s}")
        return self


class SpeakerList(Settings):
    """A list of recordings and who speaks in them. Its lines are `<speaker> <path>`, as in VoxCeleb's training
    lists."""

    file: LocalPath
    """File of the list."""
    root: LocalPath | None = None
    """Folder to which the list's paths are relative. By default it is `wav` beside the list, if that exists, else the
    list's own folder."""


class TrialList(Settings):
    """A list of pairs of recordings, as VoxCeleb's trial lists are.

    Its lines are `1 <path> <path>` for one speaker and `0 <path> <path>` for two. Paths end with
    `<speaker>/<session>/<utterance>`.
    """

    file: LocalPath
    """File of the list."""
    root: LocalPath | None = None
    """Folder to which the list's paths are relative. By default it is `wav` beside the list, if that exists, else the
    list's own folder."""


class An4Settings(ReadingSettings):
    """AN4 (census answers, 16 kHz), laid out like LibriSpeech in the folders `train`, `dev` and `test`."""

    kind: Literal["an4"] = "an4"
    root: LocalPath
    """Folder that holds `train`, `dev` and `test`."""
    phones: LocalPath | None = None
    """Folder of `an4-<split>.txt` files with lines `<utterance> PH PH ...`. By default it is `phones`, two folders
    above root, if that exists."""
    more: list[SpeakerList] = []
    """Lists of recordings of other speakers, without transcripts, which are trained on as well."""


class SplitFolders(Settings):
    """Folders below root that make up each split."""

    train: list[str] = Field(["train-clean-100"], min_length=1)
    """Folders to train on."""
    dev: list[str] = Field(["dev-clean"], min_length=1)
    """Folders that choose: rungs and fronts use their errors."""
    test: list[str] = Field(["test-clean"], min_length=1)
    """Folders that are reported on and choose nothing."""

    @model_validator(mode="after")
    def _disjoint(self) -> SplitFolders:
        folders = [*self.train, *self.dev, *self.test]
        twice = sorted({name for name in folders if folders.count(name) > 1})
        if twice:
            raise ValueError(f"splits: {', '.join(twice)} named twice; expected each folder once")
        return self


class LibriSpeechSettings(ReadingSettings):
    """LibriSpeech, or any corpus in its layout `<folder>/<speaker>/<chapter>/<utterance>.flac`."""

    kind: Literal["librispeech"] = "librispeech"
    root: LocalPath
    """Folder that holds the folders named in `splits`, and `SPEAKERS.TXT` if there is one."""
    splits: SplitFolders = SplitFolders()
    """Folders of each split."""
    phones: LocalPath | None = None
    """Folder of `<name of root>-<folder>.txt` files with lines `<utterance> PH PH ...`, one for each folder named in
    `splits`. It is needed for the phone error rate (PER) only."""


class VoxCelebSettings(ReadingSettings):
    """VoxCeleb, or any recordings in its layout, with lists of speakers and of trials and without transcripts."""

    kind: Literal["voxceleb"] = "voxceleb"
    train: list[SpeakerList] = Field(min_length=1)
    """Lists of recordings to train on, from one corpus or several."""
    dev: TrialList
    """Pairs that choose. Their recordings are the dev split."""
    test: TrialList
    """Pairs that are reported on and choose nothing. Their recordings are the test split."""


class SplitManifests(Settings):
    """One lhotse cut manifest (JSON lines, `.jsonl` or `.jsonl.gz`) for each split."""

    train: LocalPath
    """Manifest of the cuts to train on."""
    dev: LocalPath
    """Manifest of the cuts that choose: rungs and fronts use their errors."""
    test: LocalPath
    """Manifest of the cuts that are reported on and choose nothing."""


class ManifestSettings(ReadingSettings):
    """Any corpus that lhotse describes. Its audio must be 16 kHz mono files, since nothing is resampled."""

    kind: Literal["manifest"] = "manifest"
    splits: SplitManifests
    """Manifest of each split."""
    root: LocalPath = Field(default_factory=Path.cwd)
    """Folder to which relative paths of recordings in the manifests are relative. By default it is the working
    directory, as lhotse has it."""


class SplitArchives(Settings):
    """One folder or URI of Shar archives for each split."""

    train: str
    """Archives to train on."""
    dev: str
    """Archives that choose: rungs and fronts use their errors."""
    test: str
    """Archives that are reported on and choose nothing."""

    @field_validator(*SPLITS)
    @classmethod
    def _absolute(cls, place: str) -> str:
        # A folder is made absolute, because workers run in other folders than the command. A URI stays as it is.
        return place if "://" in place else str(local_path(place))


class SharSettings(ReadingSettings):
    """lhotse's Shar archives, read one after the other and never copied, for corpora that no local disk holds."""

    kind: Literal["shar"] = "shar"
    splits: SplitArchives
    """Archives of each split."""


class SplitCounts(Settings):
    """A number for each split."""

    train: Count
    """Number for the training split."""
    dev: Count
    """Number for the split that chooses."""
    test: Count
    """Number for the split that is reported on."""


class SyntheticSettings(ReadingSettings):
    """Short sentences over 60 words, spoken by espeak-ng in many voices. For trying things out, not for claims."""

    kind: Literal["synthetic"] = "synthetic"
    speakers: SplitCounts = SplitCounts(train=16, dev=4, test=4)
    """Voices of each split. No voice is in two splits."""
    utterances: SplitCounts = SplitCounts(train=600, dev=80, test=80)
    """Sentences of each split, dealt out evenly to its voices. 600 are about 20 minutes of speech."""
    words: int = Field(6, ge=2, le=1_000)
    """Largest number of words in a sentence. A second of speech has about two."""
    seed: Seed = 0
    """Seed of voices, sentences, levels and pauses."""

    @model_validator(mode="after")
    def _every_speaker_speaks(self) -> SyntheticSettings:
        for split in SPLITS:
            speakers, utterances = getattr(self.speakers, split), getattr(self.utterances, split)
            if utterances < speakers:
                raise ValueError(f"utterances.{split}: {utterances}; expected at least speakers.{split} = {speakers}")
        return self


class LabelledSettings(ReadingSettings):
    """Recordings that have one class each."""

    kind: Literal["labelled"] = "labelled"
    root: LocalPath
    """Folder of `<label>/<utterance>.flac` with a table of splits, or of `<split>/<label>/<utterance>.flac`."""
    table: LocalPath | None = None
    """CSV file with the columns path (relative to root), label, split (train, dev or test) and perhaps speaker. By
    default it is `manifest.csv` in root, if that exists."""
    more: list[SpeakerList] = []
    """Lists of recordings of other speakers, without labels. Methods learn from them too, and tasks leave them out."""


class IntentsSettings(ReadingSettings):
    """Spoken requests that have an intent and slots each."""

    kind: Literal["intents"] = "intents"
    root: LocalPath
    """Folder to which paths in the manifest are relative."""
    manifest: LocalPath | None = None
    """File of JSON lines `{"path", "split", "intent", "slots": {name: value}}` and perhaps `text` and `speaker`. A slot
    that was not mentioned has no key. By default it is `manifest.jsonl` in root."""


class SlurpSettings(ReadingSettings):
    """SLURP as its repository lays it out."""

    kind: Literal["slurp"] = "slurp"
    root: LocalPath
    """Folder that holds `dataset/slurp/{train,devel,test}.jsonl`."""
    audio: LocalPath | None = None
    """Folder of the recordings. By default it is `audio/slurp_real` in root."""


class SplitSpeakers(Settings):
    """Speakers of each split of Audio SNIPS, by default those of SUPERB."""

    train: list[str] = Field(
        ["Ivy", "Joanna", "Joey", "Justin", "Kendra", "Kimberly", "Matthew", "Salli"], min_length=1
    )
    """Speakers to train on."""
    dev: list[str] = Field(["Aditi", "Amy", "Geraint", "Nicole"], min_length=1)
    """Speakers that choose: rungs and fronts use the errors on them."""
    test: list[str] = Field(["Brian", "Emma", "Raveena", "Russell"], min_length=1)
    """Speakers that are reported on and choose nothing."""


class AudioSnipsSettings(ReadingSettings):
    """Audio SNIPS as s3prl lays it out: requests with their slots, spoken by synthetic voices."""

    kind: Literal["audio-snips"] = "audio-snips"
    root: LocalPath
    """Folder that holds `all.iob.snips.txt` and the folders `train`, `valid` and `test`."""
    speakers: SplitSpeakers = SplitSpeakers()
    """Speakers of each split. Recordings of others are left out."""


class SpeechCommandsSettings(ReadingSettings):
    """Speech Commands as its archive unpacks."""

    kind: Literal["speech-commands"] = "speech-commands"
    root: LocalPath
    """Folder that holds a folder for each word, `validation_list.txt` and `testing_list.txt`."""


class TwelveCommandsSettings(ReadingSettings):
    """Speech Commands in the twelve classes that SUPERB tells apart: ten words, any other word, and silence."""

    kind: Literal["speech-commands-12"] = "speech-commands-12"
    root: LocalPath
    """Folder that holds a folder for each word, `_background_noise_`, `validation_list.txt` and `testing_list.txt`."""
    test_root: LocalPath | None = None
    """Folder of the test set that is published beside the corpus, with a folder for each class. By default test is what
    `testing_list.txt` names, in the same twelve classes."""


class CommonVoiceSettings(ReadingSettings):
    """One language of Common Voice. Clips at another rate than 16 kHz need `raysearch corpus prepare` first."""

    kind: Literal["commonvoice"] = "commonvoice"
    root: LocalPath
    """Folder of the language. It holds `train.tsv`, `dev.tsv` and `test.tsv`."""
    clips: LocalPath | None = None
    """Folder of the recordings. By default it is `clips` in root."""


class SeveralSettings(Settings):
    """Several labelled corpora as one, as in the LAPE benchmark: a student learns from all and is judged on each."""

    kind: Literal["several"] = "several"
    corpora: list[LabelledSettings] = Field(min_length=2)
    """The labelled corpora. The names of their folders must differ."""


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
    | AudioSnipsSettings
    | SpeechCommandsSettings
    | TwelveCommandsSettings
    | CommonVoiceSettings
    | SeveralSettings,
    Field(discriminator="kind"),
]
