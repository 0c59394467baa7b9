"""Places on a cluster whose makers are dead: Ray removes them itself, but for those that it forgets."""

from __future__ import annotations

from typing import Any

from ray._private.state import state as global_state
from ray._raylet import ActorID, PlacementGroupID
from ray.core.generated.gcs_pb2 import ActorTableData, JobTableData, PlacementGroupTableData
from ray.util.placement_group import PlacementGroup, remove_placement_group


def remove_orphans() -> None:
    """Removes the places on the cluster whose job is dead, and whose actor of that job is dead, too.

    Ray promises to do that itself. Yet a place that is asked for just as the driver's node dies is kept for ever.
    """
    # Its public list needs a dashboard, which a cluster may lack.
    accessor = global_state._connect_and_get_accessor()
    jobs = map(JobTableData.FromString, accessor.get_job_table())
    dead = {job.job_id for job in jobs if job.is_dead}
    for place in map(PlacementGroupTableData.FromString, accessor.get_placement_group_table()):
        if (
            place.state != PlacementGroupTableData.REMOVED
            and not place.is_detached
            and place.creator_job_id in dead
            and _is_dead(accessor, place.creator_actor_id)
        ):
            remove_placement_group(PlacementGroup(PlacementGroupID(place.placement_group_id)))


def _is_dead(accessor: Any, actor: bytes) -> bool:
    told = accessor.get_actor_info(ActorID(actor))
    return told is None or ActorTableData.FromString(told).state == ActorTableData.DEAD
