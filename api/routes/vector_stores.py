"""/v1/vector_stores"""

from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session

from api.auth import CallerOf, ServicesOf
from api.visibility import check_whole_project, search_scope
from api.wire.common import PageOf, check_length, list_object, plain_page
from api.wire.objects import explanation_object, search_result_object, vector_store_object
from api.wire.search import to_filter, to_ranking
from api.wire.stores import CreateVectorStore, SearchStore, UpdateVectorStore
from catalog import estimates, jobs, stores
from catalog.errors import InvalidRequest
from catalog.models import VectorStore
from catalog.stores import NewVectorStore, NewVectorStoreFile
from ingest.chunking import parse_strategy
from retrieval.searcher import SearchRequest

router = APIRouter(prefix="/v1/vector_stores", tags=["Vector stores"])


@router.post("")
def create_vector_store(services: ServicesOf, caller: CallerOf, body: CreateVectorStore) -> dict[str, Any]:
    """Create a store, with files in it if `file_ids` names some."""
    check_whole_project(caller, "create vector stores")
    if body.chunking_strategy and not body.file_ids:
        raise InvalidRequest("chunking_strategy needs file_ids.", param="chunking_strategy")
    strategy = body.chunking_strategy or {"type": "auto"}
    parse_strategy(strategy)
    new = NewVectorStore(
        project_id=caller.project_id,
        name=body.name or "",
        description=body.description,
        metadata=body.metadata or {},
        embedding_identity=services.embedder.identity.key,
        expires_after_days=body.expires_after.days if body.expires_after else None,
    )
    with services.catalog.database.write() as session:
        if body.file_ids:
            jobs.check_room(session, services.settings.max_queued_files)
        store = stores.create(session, new)
        session.flush()
        for file_id in dict.fromkeys(body.file_ids):
            stores.attach(session, store, NewVectorStoreFile(file_id=file_id, chunking_strategy=strategy))
        return _render(session, store)


@router.get("")
def list_vector_stores(services: ServicesOf, caller: CallerOf, request: PageOf) -> dict[str, Any]:
    """List the stores, newest first."""
    with services.catalog.database.read() as session:
        page = stores.list_page(session, caller.project_id, request, among=caller.store_ids)
        ids = [store.id for store in page.items]
        counts, usage = stores.file_counts(session, ids), stores.usage_bytes(session, ids)
        return list_object(page, lambda store: _object(session, store, counts[store.id], usage[store.id]))


@router.get("/{vector_store_id}")
def retrieve_vector_store(services: ServicesOf, caller: CallerOf, vector_store_id: str) -> dict[str, Any]:
    with services.catalog.database.read() as session:
        return _render(session, stores.get(session, caller.project_id, vector_store_id))


@router.post("/{vector_store_id}")
def update_vector_store(
    services: ServicesOf, caller: CallerOf, vector_store_id: str, body: UpdateVectorStore
) -> dict[str, Any]:
    """Change what the body names; `expires_after: null` makes the store stay."""
    with services.catalog.database.write() as session:
        store = stores.get(session, caller.project_id, vector_store_id)
        if body.name is not None:
            store.name = body.name
        if body.metadata is not None:
            store.metadata_ = body.metadata
        if "expires_after" in body.model_fields_set:
            store.expires_after_days = body.expires_after.days if body.expires_after else None
        session.flush()
        return _render(session, store)


@router.delete("/{vector_store_id}")
def delete_vector_store(services: ServicesOf, caller: CallerOf, vector_store_id: str) -> dict[str, Any]:
    """Delete a store; its files stay."""
    database = services.catalog.database
    with database.write() as session:
        stores.delete(database, session, caller.project_id, vector_store_id)
    return {"id": vector_store_id, "object": "vector_store.deleted", "deleted": True}


@router.post("/{vector_store_id}/search")
def search_vector_store(
    services: ServicesOf, caller: CallerOf, vector_store_id: str, body: SearchStore
) -> dict[str, Any]:
    """Return the passages that fit best, each with its place in the document."""
    queries = [body.query] if isinstance(body.query, str) else body.query
    for query in queries:
        check_length(query, services.settings.max_question_chars, "query")
    with services.catalog.database.read() as session:
        scope = search_scope(session, caller, [vector_store_id], to_filter(body.filters))
    found = services.searcher.search(
        SearchRequest(
            queries=queries,
            scope=scope,
            limit=body.max_num_results,
            ranking=to_ranking(body.ranking_options, services.ranking),
            explain=body.explain,
        )
    )
    explanation = {"explanation": explanation_object(found)} if body.explain else {}
    return plain_page(
        "vector_store.search_results.page",
        [search_result_object(passage) for passage in found.passages],
        search_query=queries,
        **explanation,
    )


def _render(session: Session, store: VectorStore) -> dict[str, Any]:
    counts, usage = stores.file_counts(session, [store.id]), stores.usage_bytes(session, [store.id])
    return _object(session, store, counts[store.id], usage[store.id])


def _object(session: Session, store: VectorStore, counts: dict[str, int], usage_bytes: int) -> dict[str, Any]:
    left_s = estimates.seconds_left_of_store(session, store.id) if counts["in_progress"] else None
    return vector_store_object(store, counts, usage_bytes, left_s)
