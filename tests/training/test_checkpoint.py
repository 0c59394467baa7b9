"""Checkpoints: whole or absent, and the one before when the newest is damaged."""

import pytest
import torch

from raysearch.training import checkpoint

CPU = torch.device("cpu")


def write(folder, *steps):
    for step in steps:
        checkpoint.save(folder, step, {"x": torch.full((3,), float(step))}, {"seconds": 0.5})


def test_load_of_an_empty_folder_then_none(tmp_path):
    assert checkpoint.load(tmp_path, CPU) is None


def test_load_after_saves_then_the_newest(tmp_path):
    write(tmp_path, 5, 10, 100)
    tensors, state = checkpoint.load(tmp_path, CPU)
    assert state == {"step": 100, "seconds": 0.5}
    assert tensors["x"].tolist() == [100.0] * 3


def test_save_of_many_then_two_are_kept(tmp_path):
    write(tmp_path, 5, 10, 100)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["000000010", "000000100"]


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
def test_load_of_a_torn_checkpoint_then_the_one_before_is_used_and_said(tmp_path, caplog, name):
    write(tmp_path, 5, 10)
    torn = tmp_path / "checkpoints/000000010" / name
    torn.write_bytes(torn.read_bytes()[:-5])
    _, state = checkpoint.load(tmp_path, CPU)
    assert state["step"] == 5
    assert "000000010 is damaged" in caplog.text


def test_load_of_a_checkpoint_with_one_changed_byte_then_the_one_before_is_used(tmp_path, caplog):
    write(tmp_path, 5, 10)
    torn = tmp_path / "checkpoints/000000010/tensors.safetensors"
    content = bytearray(torn.read_bytes())
    content[-1] ^= 1
    torn.write_bytes(content)
    assert checkpoint.load(tmp_path, CPU)[1]["step"] == 5
    assert "tensors.safetensors has other content" in caplog.text


def test_load_of_a_checkpoint_of_an_earlier_version_then_as_it_is(tmp_path):
    write(tmp_path, 5)
    (tmp_path / "checkpoints/000000005/seal.json").unlink()
    assert checkpoint.load(tmp_path, CPU)[1]["step"] == 5


def test_load_when_a_save_was_cut_short_then_it_is_ignored(tmp_path):
    write(tmp_path, 5)
    (tmp_path / "checkpoints/000000010.part").mkdir()
    _, state = checkpoint.load(tmp_path, CPU)
    assert state["step"] == 5


def trained(updates):
    torch.manual_seed(0)
    module = torch.nn.Linear(4, 2)
    optimiser = torch.optim.AdamW(module.parameters(), fused=True)
    step(module, optimiser, updates)
    return module, optimiser


def step(module, optimiser, updates):
    for _ in range(updates):
        optimiser.zero_grad()
        module(torch.ones(3, 4)).square().sum().backward()
        optimiser.step()


def test_restore_of_an_optimiser_then_it_goes_on_as_if_never_stopped(tmp_path):
    module, optimiser = trained(3)
    checkpoint.save(tmp_path, 3, checkpoint.named_tensors(module, optimiser), {})
    fresh, fresh_optimiser = trained(0)
    tensors, _ = checkpoint.load(tmp_path, CPU)
    checkpoint.restore(fresh, fresh_optimiser, tensors)
    step(module, optimiser, 2)
    step(fresh, fresh_optimiser, 2)
    assert torch.equal(module.weight, fresh.weight)


def test_restore_into_another_module_then_raises():
    tensors = checkpoint.named_tensors(*trained(1))
    other = torch.nn.Linear(4, 3)
    with pytest.raises(RuntimeError, match="size mismatch"):
        checkpoint.restore(other, torch.optim.AdamW(other.parameters()), tensors)
