import pytest
import torch

from raysearch.errors import InputError
from raysearch.tasks.ctc.tokens import CtcHead, Tokens, ctc_loss, frames_needed, greedy, pad


def one_hot(*rows: list[int], symbols: int = 4) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(rows), symbols).float() * 20


def test_greedy_repeats_and_blanks_are_merged() -> None:
    logits_BTV = one_hot([1, 1, 0, 1, 2, 2], [0, 0, 0, 0, 0, 0], [3, 3, 3, 1, 2, 1])
    assert greedy(logits_BTV, torch.tensor([6, 6, 3])) == [[1, 1, 2], [], [3]]


def test_loss_of_certain_path_is_zero() -> None:
    logits_BTV = one_hot([1, 0, 1, 2])
    assert ctc_loss(logits_BTV, torch.tensor([4]), [[1, 1, 2]]).item() == pytest.approx(0, abs=1e-5)


def test_loss_one_frame_is_summed_cross_entropy_of_the_tokens() -> None:
    logits_BTV = torch.tensor([[[0.3, 1.0, -2.0]], [[1.0, 0.0, 0.5]]])
    log_probs_BV = logits_BTV[:, 0].log_softmax(-1)
    expected = -(log_probs_BV[0, 1] + log_probs_BV[1, 2])
    torch.testing.assert_close(ctc_loss(logits_BTV, torch.tensor([1, 1]), [[1], [2]]), expected)


def test_loss_sums_all_paths() -> None:
    logits_BTV = torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(0))
    p_TV = logits_BTV[0].softmax(-1)
    paths = p_TV[0, 1] * p_TV[1, 1] + p_TV[0, 0] * p_TV[1, 1] + p_TV[0, 1] * p_TV[1, 0]
    torch.testing.assert_close(ctc_loss(logits_BTV, torch.tensor([2]), [[1]]), -paths.log())


def test_loss_too_few_frames_gives_no_gradient() -> None:
    logits_BTV = torch.zeros(1, 2, 3, requires_grad=True)
    loss = ctc_loss(logits_BTV, torch.tensor([2]), [[1, 1]])
    loss.backward()
    assert loss.item() == 0
    assert logits_BTV.grad is not None
    assert not logits_BTV.grad.any()


@pytest.mark.parametrize(("target", "frames"), [([], 0), ([1], 1), ([1, 2], 2), ([1, 1, 1, 2], 6)])
def test_frames_needed_counts_blanks_between_repeats(target: list[int], frames: int) -> None:
    assert frames_needed(target) == frames


def test_tokens_of_phones_round_trip(cut_of) -> None:
    cuts = [cut_of("a", phones=["S", "AA"]), cut_of("b", phones=["K", "AA", "K"])]
    tokens = Tokens.from_cuts(cuts, "phones")
    assert tokens.symbols == ("AA", "K", "S")
    assert tokens.count == 4
    assert tokens.encode(cuts[1]) == [2, 1, 2]
    assert tokens.decode([2, 1, 2]) == ["K", "AA", "K"]


def test_tokens_of_characters_round_trip_words(cut_of) -> None:
    cut = cut_of("a", text="GO  ON GO")
    tokens = Tokens.from_cuts([cut], "characters")
    assert tokens.symbols == (" ", "G", "N", "O")
    assert tokens.decode(tokens.encode(cut)) == ["GO", "ON", "GO"]


def test_tokens_unknown_symbol_is_left_out(cut_of) -> None:
    tokens = Tokens.from_cuts([cut_of("a", text="GO")], "characters")
    assert tokens.decode(tokens.encode(cut_of("b", text="GOD"))) == ["GO"]


@pytest.mark.parametrize(("unit", "key"), [("phones", "custom.phones"), ("characters", "text")])
def test_tokens_without_transcript_names_cut_and_key(cut_of, unit, key: str) -> None:
    with pytest.raises(InputError, match=rf"cut mute: {key}: nothing; expected"):
        Tokens.from_cuts([cut_of("mute")], unit)


def test_head_starts_at_mean_of_layers() -> None:
    head = CtcHead(layers=2, width=3, symbols=3)
    with torch.no_grad():
        head.weight_VD.copy_(torch.eye(3))
    x_LND = torch.stack([torch.full((4, 3), 1.0), torch.full((4, 3), 3.0)])
    torch.testing.assert_close(head(x_LND), torch.full((4, 3), 2.0))


def test_pad_keeps_each_cut_in_its_row() -> None:
    padded_BTV = pad(torch.arange(1.0, 6.0)[:, None], [2, 3])
    assert padded_BTV[..., 0].tolist() == [[1, 2, 0], [3, 4, 5]]
