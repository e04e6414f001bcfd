"""ReplicationControllers: the elder form of ReplicaSets, with a selector that is a map."""
from __future__ import annotations

from collections.abc import Sequence

from tiffin.controllers.config import Config
from tiffin.controllers.replicas import Flavor, controller_of_flavor
from tiffin.controllers.resources import REPLICATION_CONTROLLERS
from tiffin.machinery.object import Object, dig
from tiffin.machinery.selectors import Selector, from_label_map
from tiffin.runtime.controller import Controller, View


def selector(replication_controller: Object) -> Selector:
    return from_label_map(dig(replication_controller, "spec", "selector"))


def alone(replication_controller: Object, view: View) -> Sequence[Object]:
    return ()


def controller(config: Config) -> Controller:
    return controller_of_flavor(Flavor("replication-controller", REPLICATION_CONTROLLERS, "ReplicationController", selector, False, alone))
