"""Self-distillation's losses against their definitions, the exits, and what each control leaves of the method."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from lhotse import CutSet
from lhotse.utils import fastcopy
from torch.nn import functional as F

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.pieces import in_pieces
from raysearch.encoder.build import build_encoder
from raysearch.encoder.checkpoint import load_encoder
from raysearch.encoder.config import ConvConfig
from raysearch.errors import InputError
from raysearch.methods.settings import StudentSettings
from raysearch.methods.trial import Trial
from raysearch.methods.unfused.selfdistillation import SelfDistillation
from raysearch.methods.unfused.selfdistillation import distillation_loss as losses_of_cuts
from raysearch.methods.unfused.settings import SelfDistillationSettings, UnfusedSettings
from raysearch.methods.unfused.unfused import Unfused, clustered, true_classes
from raysearch.targets.pseudo_labels import PseudoLabels
from raysearch.targets.settings import PseudoLabelSettings
from raysearch.training.recipe import not_evaluated

CONV = ConvConfig(channels=[4, 4, 8], width=16)
BLOCKS = StudentSettings(depth=3, width=16, heads=2, channels=8, position_kernel=3).encoder()


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return torch.randn(5, 4, requires_grad=True), [torch.randn(5, 4) for _ in range(3)], torch.randint(4, (5,))


def settings(**changed) -> SelfDistillationSettings:
    return SelfDistillationSettings.model_validate({"alpha": 0, "beta": 0, "gamma": 0, **changed})


def distillation_loss(*given):
    return losses_of_cuts(*given).mean()


def test_all_weights_zero_then_plain_cross_entropy(logits):
    deepest, shallow, labels = logits
    found = losses_of_cuts(deepest, shallow, labels, settings())
    assert torch.equal(found, F.cross_entropy(deepest, labels, reduction="none"))


def test_alpha_then_each_exit_adds_its_own(logits):
    deepest, shallow, labels = logits
    expected = F.cross_entropy(deepest, labels) + 0.7 * sum(F.cross_entropy(each, labels) for each in shallow)
    torch.testing.assert_close(distillation_loss(deepest, shallow, labels, settings(alpha=0.7)), expected)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_beta_then_divergence_of_the_deepest_from_each_exit(logits, temperature):
    deepest, shallow, labels = logits
    p = (deepest / temperature).softmax(-1)
    divergences = [(p * (p.log() - (each / temperature).log_softmax(-1))).sum(-1).mean() for each in shallow]
    expected = F.cross_entropy(deepest, labels) + 0.3 * temperature**2 * sum(divergences)
    found = distillation_loss(deepest, shallow, labels, settings(beta=0.3, temperature=temperature))
    torch.testing.assert_close(found, expected)


def test_exits_equal_to_the_deepest_then_neither_divergence_nor_angle(logits):
    deepest, _, labels = logits
    found = distillation_loss(deepest, [deepest, deepest], labels, settings(beta=1.0, gamma=1.0))
    torch.testing.assert_close(found, F.cross_entropy(deepest, labels))


def test_opposite_exit_then_gamma_times_four(logits):
    deepest, _, labels = logits
    found = distillation_loss(deepest, [-deepest], labels, settings(gamma=0.5))
    torch.testing.assert_close(found, F.cross_entropy(deepest, labels) + 2.0)


@pytest.mark.parametrize(("detach", "moves"), [(True, False), (False, True)])
def test_detach_then_exits_do_not_move_the_deepest(logits, detach, moves):
    deepest, shallow, labels = logits
    own = torch.autograd.grad(F.cross_entropy(deepest, labels), deepest)[0]
    loss = distillation_loss(deepest, shallow, labels, settings(beta=1.0, gamma=1.0, detach=detach))
    assert (not torch.allclose(torch.autograd.grad(loss, deepest)[0], own)) == moves


@pytest.mark.parametrize("config", [CONV, BLOCKS], ids=["conv", "transformer"])
@pytest.mark.parametrize("exits", [0, 2, 3])
def test_padding_then_the_same_loss_as_alone(config, exits):
    torch.manual_seed(0)
    module = SelfDistillation(build_encoder(config), 5, SelfDistillationSettings(exits=exits)).eval()
    assert len(module.exits) == exits
    audio_BS, samples_B, labels_B = torch.randn(2, 12_000), torch.tensor([12_000, 7_000]), torch.tensor([1, 4])
    audio_BS[1, 7_000:] = 0
    alone = [
        module(audio_BS[i : i + 1, :n], samples_B[i : i + 1], labels_B[i : i + 1])[0]
        for i, n in ((0, 12_000), (1, 7_000))
    ]
    torch.testing.assert_close(module(audio_BS, samples_B, labels_B)[0], (alone[0] + alone[1]) / 2)


def labelled(corpus: Corpus) -> Corpus:
    def own(cut):
        (supervision,) = cut.supervisions
        custom = {**supervision.custom, "label": supervision.custom["phones"][0]}
        return fastcopy(cut, supervisions=[fastcopy(supervision, custom=custom)])

    splits = {split: CutSet.from_cuts(own(cut) for cut in cuts) for split, cuts in corpus.splits.items()}
    return Corpus(corpus.name, splits, audio=corpus.audio)


def make_trial(tones, small_teacher, folder, control, evaluate=not_evaluated) -> Trial:
    """Pseudo-labels alternate; the tones have labels, their first tone."""
    labels = {cut.id: number % 2 for number, cut in enumerate(tones.splits["train"])}
    document = {
        "student": {"depth": 2, "channels": 4, "width": 16, "heads": 2},
        "distillation": {"control": control},
        "training": {"batch_s": 8.0},
    }
    return Trial(
        number=0,
        settings=UnfusedSettings.model_validate(document),
        corpus=labelled(tones),
        teacher=small_teacher,
        label_set=None,
        evaluate=evaluate,
        rungs=(2, 4),
        folder=folder,
        device=torch.device("cpu"),
        seed=5,
        pseudo_labels=lambda _: PseudoLabels(2, labels, {"nmi": 0.5}),
    )


@pytest.mark.parametrize("control", ["none", "shuffled", "oracle"])
def test_trained_arm_then_every_rung_and_the_quality_of_its_labels(tones, small_teacher, tmp_path, control):
    reports = list(Unfused().run(make_trial(tones, small_teacher, tmp_path, control)))
    assert [report.step for report in reports] == [2, 4]
    quality = {key: value for key, value in reports[-1].metrics.items() if key.startswith("targets/")}
    asked = {"targets/nmi": 0.5, "targets/cuts_per_cluster": len(tones.splits["train"]) / 2}
    assert quality == ({} if control == "oracle" else asked)
    assert isinstance(load_encoder(tmp_path / "student").config, ConvConfig)


@pytest.mark.parametrize("control", get_args(SelfDistillationSettings.model_fields["control"].annotation))
def test_pseudo_labels_are_asked_for_when_the_method_says_so(tones, small_teacher, tmp_path, control):
    trial, asked = make_trial(tones, small_teacher, tmp_path, control), []
    store = trial.pseudo_labels
    for _ in Unfused().run(replace(trial, pseudo_labels=lambda settings: asked.append(settings) or store(settings))):
        pass
    assert asked == [trial.settings.targets] * (control in Unfused.labels_when["distillation.control"])


@pytest.mark.parametrize("control", ["random", "ssl"])
def test_untrained_arm_then_one_report_of_the_encoder_as_it_is(tones, small_teacher, tmp_path, control):
    seen = []
    trial = make_trial(
        tones,
        small_teacher,
        tmp_path,
        control,
        lambda encoder, final, heads=None: seen.append(encoder) or {"eval/x": 1.0},
    )
    (report,) = Unfused().run(trial)
    assert (report.step, report.final, report.metrics) == (4, True, {"eval/x": 1.0})
    student = load_encoder(tmp_path / "student")
    assert student.config == Unfused.student(trial.settings, small_teacher.encoder.config)
    assert (student.config == small_teacher.encoder.config) == (control == "ssl")
    if control == "ssl":
        assert torch.equal(student.projection.weight, small_teacher.encoder.projection.weight)


def test_pieces_then_the_student_learns_of_each(tones, small_teacher, tmp_path):
    trial = make_trial(tones, small_teacher, tmp_path, "none")
    settings = trial.settings.model_copy(update={"targets": PseudoLabelSettings(piece_s=0.25)})
    labels = {piece.id: 0 for piece in in_pieces(trial.corpus, 0.25).splits["train"]}
    asked = []
    trial = replace(
        trial, settings=settings, pseudo_labels=lambda wanted: asked.append(wanted) or PseudoLabels(2, labels, {})
    )
    reports = list(Unfused().run(trial))
    assert asked == [settings.targets]
    assert reports[-1].metrics["targets/cuts_per_cluster"] == len(labels) / 2


def test_shuffled_then_the_same_sizes_on_other_cuts(tones, small_teacher, tmp_path):
    trial = make_trial(tones, small_teacher, tmp_path, "shuffled")
    pseudo = PseudoLabels(10, {str(number): number for number in range(50)}, {})
    trial = replace(trial, pseudo_labels=lambda _: pseudo)
    found, _ = clustered(trial)
    assert sorted(found.values()) == sorted(pseudo.labels.values())
    assert found != pseudo.labels
    assert found == clustered(trial)[0]


def test_oracle_then_the_true_classes(tones, small_teacher, tmp_path):
    trial = make_trial(tones, small_teacher, tmp_path, "oracle")
    found = true_classes(trial)
    classes = {cut.id: cut.supervisions[0].custom["label"] for cut in trial.corpus.splits["train"]}
    pairs = {(classes[cut], number) for cut, number in found.items()}
    assert len(pairs) == len(set(classes.values())) == len(set(found.values()))


def test_oracle_without_labels_is_refused(tones, small_teacher, tmp_path):
    trial = replace(make_trial(tones, small_teacher, tmp_path, "oracle"), corpus=tones)
    with pytest.raises(InputError, match=r"distillation\.control: oracle; expected a corpus with labels, not tones"):
        list(Unfused().run(trial))


def test_layer_that_the_teacher_has_not_is_refused(small_teacher):
    wrong = UnfusedSettings.model_validate({"targets": {"layer": 3}})
    with pytest.raises(InputError, match=r"targets\.layer: 3; expected 1 to 2"):
        Unfused.student(wrong, small_teacher.encoder.config)


def test_published_student_then_its_size():
    from raysearch.encoder.cost import params

    assert params(UnfusedSettings().student.encoder()) == 5_321_856
