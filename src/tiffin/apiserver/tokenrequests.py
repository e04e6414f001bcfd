"""The `token` subresource of service accounts: reads a TokenRequest and answers it."""
from __future__ import annotations

from tiffin.api.kind import Subresource
from tiffin.apiserver import bodies
from tiffin.apiserver.admission.chain import Admission
from tiffin.apiserver.context import RequestContext
from tiffin.apiserver.negotiate import negotiate
from tiffin.apiserver.options import read_options
from tiffin.apiserver.registry import Served
from tiffin.apiserver.render import respond
from tiffin.apiserver.resources import SubresourceHandler
from tiffin.apiserver.reviews import TokenRequests
from tiffin.net import jws
from tiffin.net.http import Request, Response

TOKEN_REQUEST = ("authentication.k8s.io", "v1", "TokenRequest")
ISSUED = "authentication.kubernetes.io/issued-credential-id"
SCHEMA = "io.k8s.api.authentication.v1.TokenRequest"


def token_handler(tokens: TokenRequests, admission: Admission) -> SubresourceHandler:
    """The handler for `serviceaccounts/NAME/token`."""

    async def handle(context: RequestContext, served: Served, sub: Subresource, request: Request) -> Response:
        form = negotiate(context.headers.get("accept", ""))
        read_options(context, "CreateOptions")
        asked = bodies.read_typed(context, request.body, TOKEN_REQUEST, SCHEMA)
        await admission.both(context, "CREATE", served, sub, asked)
        made = tokens.create(context.user, context.info.namespace, context.info.name, asked, context.now)
        if context.audit is not None:
            context.audit.annotations[ISSUED] = f"JTI={jws.unverified_claims(made['status']['token'])['jti']}"
        return respond(made, form, 201)

    return handle
