"""What admission sees of a connection to a pod, service or node: the options of the query as an object.

Source: API reference, PodExecOptions, PodAttachOptions, PodPortForwardOptions, PodProxyOptions, ServiceProxyOptions, NodeProxyOptions.
"""
from __future__ import annotations

from tiffin.api.kind import Subresource
from tiffin.apiserver.context import RequestContext
from tiffin.machinery.object import Object

CONNECTING = frozenset(("exec", "attach", "portforward", "proxy"))
_FLAGS = ("stdin", "stdout", "stderr", "tty")


def connect_options(context: RequestContext, sub: Subresource) -> Object:
    """The options object of one of the `CONNECTING` subresources."""
    assert sub.body is not None
    query = context.query
    options: Object = {"kind": sub.body[2], "apiVersion": sub.body[1]}
    if sub.name == "proxy":
        return options | ({"path": context.info.rest} if context.info.rest else {})
    if sub.name == "portforward":
        ports = [int(port) for text in query.values.get("ports", ()) for port in text.split(",") if port.isascii() and port.isdecimal()]
        return options | ({"ports": ports} if ports else {})
    options |= {flag: True for flag in _FLAGS if query.flag(flag)}
    if container := query.text("container"):
        options["container"] = container
    if command := query.values.get("command"):
        options["command"] = list(command)
    return options
