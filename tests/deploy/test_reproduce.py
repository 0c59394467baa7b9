from raysearch.deploy.reproduce import reproduce
from raysearch.storage.folder import SearchFolder


def test_trial_rerun_on_the_same_machine_gives_the_same_errors(search: SearchFolder, tmp_path) -> None:
    found = reproduce(search, 1, tmp_path / "again")
    assert found.within
    assert found.identical
    assert found.now == found.recorded
    assert [one for one in found.differences if not one.what.startswith("train/")] == []
