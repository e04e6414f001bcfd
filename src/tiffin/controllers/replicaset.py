"""ReplicaSets: keep as many pods as wanted, of whichever name."""
from __future__ import annotations

from collections.abc import Sequence

from tiffin.controllers.config import Config
from tiffin.controllers.replicas import Flavor, controller_of_flavor
from tiffin.controllers.resources import REPLICA_SETS
from tiffin.machinery.object import Object, controller_of, dig
from tiffin.machinery.selectors import Selector, from_label_selector
from tiffin.runtime.controller import Controller, View


def selector(replica_set: Object) -> Selector:
    return from_label_selector(dig(replica_set, "spec", "selector"))


def siblings(replica_set: Object, view: View) -> Sequence[Object]:
    """The replica sets of the same deployment."""
    reference = controller_of(replica_set)
    return view.by_index(REPLICA_SETS, "owner", reference["uid"]) if reference else ()


def controller(config: Config) -> Controller:
    return controller_of_flavor(Flavor("replicaset-controller", REPLICA_SETS, "ReplicaSet", selector, True, siblings))
