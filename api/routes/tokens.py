"""/v1/tokens"""

from typing import Any

from fastapi import APIRouter

from api import visibility, visitors
from api.auth import CallerOf, ServicesOf
from api.wire.search import to_filter
from api.wire.tokens import MintToken, token_object
from catalog import origins, stores
from catalog.errors import Conflict

router = APIRouter(prefix="/v1/tokens", tags=["Visitor tokens"])


@router.post("")
def mint_token(services: ServicesOf, caller: CallerOf, body: MintToken) -> dict[str, Any]:
    """Make a token for a visitor of a portal: it asks and searches for a while, in a part of what the key sees.

    Footnote's own. Revoking the key ends its tokens.
    """
    if caller.key_id is None:
        raise Conflict("Tokens are signed with an API key, and none was sent. Make one with `footnote keys create`.")
    to_filter(body.filters)
    store_ids = body.vector_store_ids
    if store_ids is None and caller.store_ids is not None:
        store_ids = sorted(caller.store_ids)
    grant = visitors.new_grant(
        key_id=caller.key_id,
        lifetime_s=body.expires_in,
        subject=body.subject,
        store_ids=None if store_ids is None else tuple(sorted(set(store_ids))),
        filters=body.filters or None,
        origins=tuple(dict.fromkeys(body.origins)),
        requests_per_minute=body.requests_per_minute,
    )
    with services.catalog.database.write() as session:
        visibility.check_stores(caller, body.vector_store_ids or ())
        for store_id in body.vector_store_ids or ():
            stores.get(session, caller.project_id, store_id)
        token = visitors.mint(session, grant)
        origins.register(session, caller.key_id, grant.origins, expires_at=grant.expires_at)
    return token_object(grant, token)
