"""Places of drivers that died: those that Ray forgets are removed, and no others."""

from types import SimpleNamespace
from typing import Any

import pytest

from raysearch.cluster.orphans import remove_orphans


@pytest.mark.ray
def test_place_whose_job_and_actor_are_dead_is_an_orphan(one_cpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray keeps one for ever that was asked for just as the driver's node died. Its tables then say what these do."""
    ray = one_cpu
    from ray.core.generated.gcs_pb2 import ActorTableData, JobTableData, PlacementGroupTableData
    from ray.util.placement_group import placement_group, placement_group_table

    place = placement_group([{"CPU": 1}])
    ray.get(place.ready(), timeout=60)
    job, actor = b"\x07\0\0\0", b"\x07" * 16
    kept = PlacementGroupTableData(
        placement_group_id=place.id.binary(),
        state=PlacementGroupTableData.CREATED,
        creator_job_id=job,
        creator_actor_id=actor,
    )
    told = {"job": False, "actor": ActorTableData.ALIVE}

    class Tables:
        def get_job_table(self) -> list[bytes]:
            return [JobTableData(job_id=job, is_dead=told["job"]).SerializeToString()]

        def get_placement_group_table(self) -> list[bytes]:
            return [kept.SerializeToString()]

        def get_actor_info(self, asked: Any) -> bytes:
            assert asked.binary() == actor
            return bytes(ActorTableData(state=told["actor"]).SerializeToString())

    def is_left(**changes: Any) -> bool:
        told.update(changes)
        remove_orphans()
        return bool(placement_group_table(place)["state"] == "CREATED")

    assert is_left(), "by Ray's own tables its job lives"
    stands = SimpleNamespace(_connect_and_get_accessor=Tables)
    monkeypatch.setattr("raysearch.cluster.orphans.global_state", stands)
    assert is_left()
    assert is_left(job=True), "its actor outlives the job"
    kept.is_detached = True
    assert is_left(actor=ActorTableData.DEAD), "it is meant to outlive both"
    kept.is_detached = False
    assert not is_left()
