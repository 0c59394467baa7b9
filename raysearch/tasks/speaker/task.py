"""The task `speaker`, speaker verification: does one person speak in two cuts?

Shapes: L hidden states, B cuts, S samples, T frames, D width of the encoder, E width of an embedding, N pairs, M cuts
that they compare, G segments of a cut, C speakers of a cohort.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import ClassVar

import numpy as np
import torch
from lhotse.cut import MonoCut
from numpy.typing import NDArray
from torch import Tensor

from raysearch.corpora.corpus import Corpus, Pair
from raysearch.corpora.crops import speaker_of
from raysearch.corpora.settings import SPLITS
from raysearch.encoder.config import SAMPLE_RATE_HZ, AnyConfig
from raysearch.encoder.encoder import Encoded, Encoder
from raysearch.encoder.frames import frames
from raysearch.errors import InputError, counted
from raysearch.evidence.kept import judged_pairs
from raysearch.tasks.head import ChosenHead, SpeakerHeadConfig
from raysearch.tasks.layers import FrozenLayers, at_rest
from raysearch.tasks.optimiser import Optimiser
from raysearch.tasks.probe import drawing
from raysearch.tasks.score import Score
from raysearch.tasks.settings import SpeakerSettings
from raysearch.tasks.speaker.aam import AamSoftmax, less_margin, with_margin
from raysearch.tasks.speaker.backend import SpeakerBackend
from raysearch.tasks.speaker.backend_cost import fewest_samples, shortest
from raysearch.tasks.speaker.cosines import as_norm, cohort, cohort_moments, cosines, unit
from raysearch.tasks.speaker.det_plot import draw_det
from raysearch.tasks.speaker.detection import eer_score, eer_threshold, min_dcf
from raysearch.tasks.task import Evaluated
from raysearch.training.precision import autocast
from raysearch.training.process import gathered, own_share, synchronise_norms

DRAWN_PAIRS = 1_000
"""Pairs of one speaker, and as many of two, that are drawn where a corpus has no trial list."""

COHORT_SPEAKERS, COHORT_CUTS = 600, 5
"""The most training speakers by which scores are normalised, and the most cuts of each."""

UNKNOWN_THRESHOLD = 1 / 3
"""Stands for the threshold of a back end that is not trained. It is written with as many digits as most."""

SEGMENT_S = 3.0
"""Length in seconds of the segments of a cut. Source: OS-KDFT's public code."""

Embed = Callable[[Sequence[MonoCut], int], NDArray[np.floating]]
"""Function from cuts to their embeddings (M, E). The number is that of the segments, and 0 takes whole cuts."""

Scored = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""The scores of pairs, and which of the pairs are of one speaker."""


class Speaker:
    """Scores cuts by their cosines, on the corpus's trial lists or on pairs drawn from a split's speakers.

    Cannot: score a split of one speaker; pad cuts.
    """

    name: ClassVar[str] = "speaker"
    metric: ClassVar[str] = "eer"

    def __init__(self, settings: SpeakerSettings) -> None:
        self.settings = settings

    def check(self, corpus: Corpus, encoders: Sequence[AnyConfig]) -> list[str]:
        spoken = {split: _spoken(corpus, split) for split in SPLITS}
        for split in SPLITS[1:]:
            if pairs := corpus.pairs.get(split):
                _check_pairs(corpus.name, split, pairs, {cut.id for cut in spoken[split]})
        speakers = min(COHORT_SPEAKERS, len({speaker_of(cut) for cut in spoken["train"]}))
        if self.settings.as_norm > speakers:
            raise InputError(f"task.as_norm: {self.settings.as_norm}; expected at most the {speakers} of the cohort")
        return []

    def evaluate(
        self, encoder: Encoder, corpus: Corpus, *, test: bool, device: torch.device, seed: int, precision: str = "fp32"
    ) -> Evaluated:
        """Trains a back end on the encoder's frozen hidden states, then judges it."""
        cuts = _spoken(corpus, "train")
        # The weights of back end and AAM are drawn from torch's global generator.
        torch.manual_seed(seed)
        backend = SpeakerBackend(self.settings.backend, encoder.config.width, encoder.config.depth + 1).to(device)
        self._train(backend, encoder, cuts, corpus, device, seed, precision)
        return self.judge(encoder, backend, corpus, test=test, device=device, seed=seed, precision=precision)

    def judge(
        self,
        encoder: Encoder,
        head: SpeakerBackend,
        corpus: Corpus,
        *,
        test: bool,
        device: torch.device,
        seed: int,
        precision: str = "fp32",
    ) -> Evaluated:
        """The errors of an encoder and the back end that was trained with it. Nothing is chosen on dev."""
        splits = ["dev", "test"] if test else ["dev"]
        embedded = partial(embed, encoder, head, corpus=corpus, device=device, precision=precision)
        cohort_CE = self._cohort(embedded, corpus)
        found, thresholds = {}, {}
        for split in splits:
            found[split], thresholds[split] = self._score(embedded, corpus, split, cohort_CE, seed)
        dev, (scores_N, same_N) = found["dev"]
        p_target = self.settings.p_target
        details = {f"min_dcf_p{p_target:g}": min_dcf(scores_N[same_N], scores_N[~same_N], p_target)}
        config = SpeakerHeadConfig(
            backend=head.settings,
            layers=encoder.config.depth + 1,
            width=encoder.config.width,
            threshold=thresholds["dev"],
        )
        return Evaluated(
            dev,
            found["test"][0] if test else None,
            details,
            ChosenHead(config, head, None),
            partial(draw_det, found),
        )

    def new_head(self, corpus: Corpus, encoder: AnyConfig) -> ChosenHead:
        """A back end that has learned nothing yet."""
        backend = self.settings.backend
        config = SpeakerHeadConfig(
            backend=backend, layers=encoder.depth + 1, width=encoder.width, threshold=UNKNOWN_THRESHOLD
        )
        with drawing(0, torch.device("cpu")):
            return ChosenHead(config, config.build(), None)

    def _train(
        self,
        backend: SpeakerBackend,
        encoder: Encoder,
        cuts: Sequence[MonoCut],
        corpus: Corpus,
        device: torch.device,
        seed: int,
        precision: str,
    ) -> None:
        """Trains the back end. Of several processes each encodes and learns from its own share of the cuts."""
        settings = self.settings
        own = {cut.id: cut for cut in own_share(cuts)}
        frozen = FrozenLayers(encoder, list(own.values()), corpus.audio, device, precision)
        synchronise_norms(backend)
        names = {name: number for number, name in enumerate(sorted({speaker_of(cut) for cut in cuts}))}
        margin_of = {"aam": with_margin, "am": less_margin}[settings.loss]
        aam = AamSoftmax(len(names), settings.backend.embedding, settings.aam.scale, margin=margin_of).to(device)
        optimiser = Optimiser([(backend, settings.lr), (aam, settings.lr)], settings.updates)
        length = max(shortest(settings.backend), round(settings.crop_s * encoder.config.frame_hz))
        rng = np.random.default_rng(seed)
        for step in range(settings.updates):
            # A small corpus has fewer cuts than a batch holds. Then some come twice, as other crops.
            drawn = [cuts[index] for index in rng.choice(len(cuts), settings.batch, replace=settings.batch > len(cuts))]
            starts = [_start(frames(encoder.config, cut.num_samples), length, rng) for cut in drawn]
            mine = [(cut, start) for cut, start in zip(drawn, starts, strict=True) if cut.id in own]
            xs = frozen.of([cut for cut, _ in mine])
            crops = [_crop(x_LTD, start, length) for x_LTD, (_, start) in zip(xs, mine, strict=True)]
            # Few cuts and many processes can leave one of them without a row, but not without its part in the norms.
            nothing_LBTD = torch.zeros(encoder.config.depth + 1, 0, length, encoder.config.width, device=device)
            x_LBTD = torch.stack(crops, dim=1) if crops else nothing_LBTD
            speakers_B = torch.tensor([names[speaker_of(cut)] for cut, _ in mine], device=device, dtype=torch.long)
            margin = settings.aam.margin_at(step / settings.updates)
            loss_B, _ = aam(backend.of_layers(x_LBTD), speakers_B, margin)
            optimiser.update(loss_B.sum() / len(drawn))

    def _score(
        self, embedded: Embed, corpus: Corpus, split: str, cohort_CE: NDArray[np.float64] | None, seed: int
    ) -> tuple[tuple[Score, Scored], float]:
        """The error of a split, the scores that it rests on, and the threshold of plain cosines.

        The threshold is for a shipped model, which has no cohort to normalise by.
        """
        cuts = {cut.id: cut for cut in _spoken(corpus, split)}
        pairs = corpus.pairs.get(split) or draw_pairs(list(cuts.values()))
        # Each cut is embedded once, though it may be in thousands of pairs.
        wanted = list(dict.fromkeys(key for pair in pairs for key in (pair.one, pair.other)))
        place = {key: index for index, key in enumerate(wanted)}
        one_N, other_N = (np.array([place[getattr(pair, side)] for pair in pairs]) for side in ("one", "other"))
        same_N = np.array([pair.same for pair in pairs])
        speakers = [(speaker_of(cuts[pair.one]), speaker_of(cuts[pair.other])) for pair in pairs]
        compared = [cuts[key] for key in wanted]
        x_ME = embedded(compared, 0)
        plain_N = scores_N = cosines(x_ME[one_N], x_ME[other_N])
        if self.settings.segments:
            means_ME = embedded(compared, self.settings.segments)
            # The mean of the cosines of all pairs of segments is the product of the sides' mean directions.
            scores_N = (plain_N + (means_ME[one_N] * means_ME[other_N]).sum(-1)) / 2
        if cohort_CE is not None:
            moments_M2 = cohort_moments(x_ME, cohort_CE, self.settings.as_norm)
            scores_N = as_norm(plain_N, moments_M2[one_N], moments_M2[other_N])
        threshold = eer_threshold(plain_N[same_N], plain_N[~same_N])
        spoken_by = {key: speaker_of(cuts[key]) for key in wanted}
        judged = judged_pairs(spoken_by, [(pair.one, pair.other) for pair in pairs], same_N, scores_N)
        score = replace(eer_score(scores_N, same_N, speakers, seed=seed), judged=judged)
        return (score, (scores_N, same_N)), threshold

    def _cohort(self, embedded: Embed, corpus: Corpus) -> NDArray[np.float64] | None:
        if not self.settings.as_norm:
            return None
        chosen = _some_of_each(_spoken(corpus, "train"))
        found = cohort(embedded(chosen, 0), [speaker_of(cut) for cut in chosen])
        if len(found) < self.settings.as_norm:
            raise InputError(f"task.as_norm: {self.settings.as_norm}; expected at most the {len(found)} of the cohort")
        return found


def embed(
    encoder: Encoder,
    backend: SpeakerBackend,
    cuts: Sequence[MonoCut],
    parts: int,
    corpus: Corpus,
    device: torch.device,
    precision: str,
) -> NDArray[np.floating]:
    """The embeddings (M, E) of whole cuts. Each passes the encoder alone, since padding would change its statistics.

    With `parts` above 0, the mean direction of so many segments of each cut: the mean of their embeddings, each of
    length 1.
    """
    own: dict[str, NDArray[np.floating]] = {}
    min_samples = fewest_samples(encoder.config, shortest(backend.settings))
    with at_rest(encoder), at_rest(backend):
        for cut in own_share(cuts):
            audio_S = corpus.audio.audio(cut)
            # A recording that is too short is repeated, as crops are.
            audio_S = np.resize(audio_S, max(len(audio_S), min_samples))
            audio_GS = torch.from_numpy(segments(audio_S, parts) if parts else audio_S[None]).to(device)
            with autocast(device, precision):
                encoded = encoder(audio_GS, torch.full((len(audio_GS),), audio_GS.shape[1], device=device))
            x_GE = backend(_in_full(encoded)).float().cpu().numpy()
            own[cut.id] = unit(x_GE).mean(axis=0) if parts else x_GE[0]
    found = gathered(own)
    return np.stack([found[cut.id] for cut in cuts])


def _in_full(encoded: Encoded) -> Encoded:
    # A variance over time is a difference of squares, which half precision cannot hold.
    hidden = tuple(x_BTD.float() for x_BTD in encoded.hidden)
    return Encoded(encoded.output_BTD.float(), hidden, encoded.frames_B)


def segments(audio_S: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """So many segments (G, S) of `SEGMENT_S` seconds, the first at the start and the last at the end.

    A recording that is too short is repeated, as crops are.
    """
    samples = round(SEGMENT_S * SAMPLE_RATE_HZ)
    audio_S = np.resize(audio_S, max(len(audio_S), samples))
    starts = np.linspace(0, len(audio_S) - samples, count).astype(int)
    return np.stack([audio_S[start : start + samples] for start in starts])


def draw_pairs(cuts: Sequence[MonoCut]) -> tuple[Pair, ...]:
    """Pairs of one speaker, at most `DRAWN_PAIRS`, and as many of two speakers. None of two if there is one speaker.

    The same cuts always give the same pairs.
    """
    # The seed is not the trial's: all trials must be judged on the same pairs.
    rng = np.random.default_rng(0)
    by_speaker: dict[str, list[str]] = {}
    for cut in cuts:
        by_speaker.setdefault(speaker_of(cut), []).append(cut.id)
    same = [pair for ids in by_speaker.values() for pair in combinations(ids, 2)]
    kept = sorted(rng.permutation(len(same))[:DRAWN_PAIRS])
    pairs = [Pair(True, *same[index]) for index in kept]
    if len(by_speaker) > 1:
        names = list(by_speaker)
        for _ in range(len(kept)):
            one, other = (by_speaker[names[index]] for index in rng.choice(len(names), 2, replace=False))
            pairs.append(Pair(False, str(rng.choice(one)), str(rng.choice(other))))
    return tuple(pairs)


def _spoken(corpus: Corpus, split: str) -> list[MonoCut]:
    """The cuts of a split that name a speaker.

    Raises: InputError if they name fewer than two speakers, or if no speaker has two cuts.
    """
    cuts = [cut for cut in corpus.splits.get(split, []) if cut.supervisions[0].speaker is not None]
    speakers = {speaker_of(cut) for cut in cuts}
    if len(speakers) < 2 or len(speakers) == len(cuts):
        raise InputError(
            f"task speaker: corpus {corpus.name}: split {split}: {counted(len(speakers), 'speaker')} in "
            f"{counted(len(cuts), 'cut')}; "
            "expected two at least, with several cuts each"
        )
    return cuts


def _check_pairs(corpus: str, split: str, pairs: Sequence[Pair], spoken: set[str]) -> None:
    """Refuses a trial list that no error rate can be computed from. `spoken` are the cuts that name a speaker."""
    where = f"task speaker: corpus {corpus}: split {split}"
    for pair in pairs:
        for cut in (pair.one, pair.other):
            if cut not in spoken:
                raise InputError(f"{where}: cut {cut} of a pair names no speaker; expected one")
    if len({pair.same for pair in pairs}) < 2:
        kind = "one speaker" if pairs[0].same else "two speakers"
        raise InputError(f"{where}: all {len(pairs)} usable pairs are of {kind}; expected pairs of both kinds")


def _some_of_each(cuts: Sequence[MonoCut]) -> list[MonoCut]:
    """The cuts that make the cohort: the first ones of the first speakers, in the order of their ids."""
    by_speaker: dict[str, list[MonoCut]] = {}
    for cut in sorted(cuts, key=lambda cut: (speaker_of(cut), cut.id)):
        by_speaker.setdefault(speaker_of(cut), []).append(cut)
    return [cut for own in list(by_speaker.values())[:COHORT_SPEAKERS] for cut in own[:COHORT_CUTS]]


def _start(total: int, length: int, rng: np.random.Generator) -> int:
    """A random first frame for a crop of so many of a cut's frames."""
    return int(rng.integers(max(1, total - length + 1)))


def _crop(x_LTD: Tensor, start: int, length: int) -> Tensor:
    # A cut that is too short is repeated, as crops of audio are.
    index_T = (torch.arange(length, device=x_LTD.device) + start) % x_LTD.shape[1]
    return x_LTD[:, index_T]
