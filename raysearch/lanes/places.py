"""The places that workers have on the cluster. What a lane that died had reserved for its workers is given back here.

Ray Train would leave it reserved for ever: its cleaner asks a dashboard whether the controller of the workers still
lives, and the Ray that a search starts for itself has none. Then the workers of the next lane would never find room.
"""

from __future__ import annotations

import ray
from ray._raylet import PlacementGroupID
from ray.experimental import internal_kv
from ray.util.placement_group import PlacementGroup, get_current_placement_group, remove_placement_group

NAMESPACE = "raysearch"


class Places:
    """The places of all lanes of one search, each under the name of its lane's mailbox, which lives as long as it."""

    def __init__(self, search: str) -> None:
        """`search` tells apart the searches on a cluster, such as the path of its folder."""
        self._prefix = f"places/{search}/"

    def keep(self, mailbox: str) -> None:
        """Notes the place of this worker, whose lane has the mailbox of this name."""
        place = get_current_placement_group()
        if place is not None:
            self._put(mailbox, place.id.hex())

    def has(self, mailbox: str) -> bool:
        """Whether workers of the lane that has the mailbox of this name have a place."""
        return bool(internal_kv._internal_kv_exists(self._prefix + mailbox, namespace=NAMESPACE))

    def give_back(self) -> None:
        """Gives back the places of the lanes that have died, so that other workers find room there."""
        for key in internal_kv._internal_kv_list(self._prefix, namespace=NAMESPACE):
            kept = internal_kv._internal_kv_get(key, namespace=NAMESPACE)
            if kept and not _lives(key.decode().removeprefix(self._prefix)):
                remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(kept.decode()))))
                internal_kv._internal_kv_del(key, namespace=NAMESPACE)

    def _put(self, mailbox: str, place: str) -> None:
        internal_kv._internal_kv_put(self._prefix + mailbox, place, overwrite=True, namespace=NAMESPACE)


def _lives(mailbox: str) -> bool:
    try:
        ray.get_actor(mailbox, namespace=NAMESPACE)
    except ValueError:
        return False
    return True
