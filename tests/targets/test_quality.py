"""Figures of label sets against sklearn and against sets whose worth is known."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from raysearch.targets.quality import inertia, phone_information, probe_per, usage

torch.set_num_threads(1)


def test_inertia_over_several_chunks_is_the_mean_squared_distance() -> None:
    rng = np.random.default_rng(0)
    frames_ND, centres_KD = rng.normal(size=(20_000, 3)), rng.normal(size=(4, 3))
    labels_N = rng.integers(4, size=20_000)
    expected = np.mean([np.linalg.norm(x - centres_KD[z]) ** 2 for x, z in zip(frames_ND, labels_N, strict=True)])
    assert inertia(frames_ND, centres_KD, labels_N) == pytest.approx(expected)


def test_usage_equal_use_of_three_of_five_clusters() -> None:
    assert usage(np.array([0, 1, 3] * 7), 5) == pytest.approx({"dead_clusters": 2, "perplexity": 3})


def test_phone_information_equals_sklearn() -> None:
    rng = np.random.default_rng(0)
    phones_N = rng.integers(5, size=3000)
    labels_N = (phones_N * 3 + rng.integers(6, size=3000)).astype(np.int16)
    expected = mutual_info_score(phones_N, labels_N) / entropy(np.bincount(phones_N))
    assert phone_information(phones_N, labels_N) == pytest.approx(expected)


def test_phone_information_of_one_phone_is_refused() -> None:
    with pytest.raises(ValueError, match="one phone only"):
        phone_information(np.zeros(4, int), np.arange(4))


def _spoken(cuts: int, seed: int) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """Cuts of four phones, each a run of labels from its own three clusters; cluster 12 is silence."""
    rng = np.random.default_rng(seed)
    labels, phones = {}, {}
    for cut in range(cuts):
        said_L = rng.integers(4, size=5)
        runs = [part for phone in said_L for part in (phone * 3 + rng.integers(3, size=4), np.full(2, 12))]
        labels[f"{seed}-{cut}"] = np.concatenate(runs).astype(np.int16)
        phones[f"{seed}-{cut}"] = ["ABCD"[phone] for phone in said_L]
    return labels, phones


def test_probe_of_phone_like_labels_is_low_and_of_shuffled_ones_high() -> None:
    train_labels, train = _spoken(60, seed=1)
    dev_labels, dev = _spoken(20, seed=2)
    good = train_labels | dev_labels
    noise = {cut: np.random.default_rng(0).permutation(labels_T) for cut, labels_T in good.items()}
    assert probe_per(good, 13, train, dev) < 5
    assert probe_per(noise, 13, train, dev) > 50


def test_probe_same_seed_gives_the_same_rate() -> None:
    labels, phones = _spoken(80, seed=1)
    noisy = {cut: np.where(np.arange(len(z)) % 3, z, 12) for cut, z in labels.items()}
    assert probe_per(noisy, 13, phones, phones, seed=1) == probe_per(noisy, 13, phones, phones, seed=1)
