"""What a lane that died had reserved is given back: a worker of the next lane finds room."""

from typing import Any

import pytest

from raysearch.lanes.places import NAMESPACE, Places


@pytest.mark.ray
def test_place_is_given_back_once_the_lane_has_died(one_cpu: Any) -> None:
    ray = one_cpu
    from ray.util.placement_group import placement_group, placement_group_table
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    @ray.remote(num_cpus=0)
    class Stand:
        """A mailbox, as far as it lives."""

        def ready(self) -> bool:
            return True

    lane = Stand.options(name="mailbox-a", namespace=NAMESPACE).remote()
    ray.get(lane.ready.remote())
    place = placement_group([{"CPU": 1}])
    within = PlacementGroupSchedulingStrategy(place)

    @ray.remote(num_cpus=1, scheduling_strategy=within)
    def keep() -> None:
        Places("s").keep("mailbox-a")

    ray.get(keep.remote())
    Places("s").give_back()
    assert placement_group_table(place)["state"] == "CREATED"
    ray.kill(lane)
    Places("another search").give_back()
    assert placement_group_table(place)["state"] == "CREATED"
    for _ in range(100):
        Places("s").give_back()
        if placement_group_table(place)["state"] == "REMOVED":
            break
    # The only CPU is free again.
    assert ray.get(ray.remote(num_cpus=1)(lambda: "room").remote(), timeout=60) == "room"
