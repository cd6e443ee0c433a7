"""What exists for a caller. What does not is answered exactly as what never was."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from catalog import archives, files, stores
from catalog.errors import Forbidden
from catalog.keys import KeyScope
from catalog.models import ArchiveMember, File, VectorStoreFile
from retrieval.filters import Compound, Filter
from retrieval.indexes.base import Scope


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Everything that a request sees or changes belongs to this project."""

    project_id: str
    # Whose responses, conversations and idempotency keys these are: the project's, or those of a caller that sees a
    # part of it alone.
    owner_id: str
    scopes: frozenset[KeyScope] = frozenset({KeyScope.ADMIN})
    # None where the server has no keys.
    key_id: str | None = None
    # The last note of the key's use is old.
    is_use_worth_noting: bool = False
    # The vector stores that exist for it; None: all of the project.
    store_ids: frozenset[str] | None = None
    # The documents that exist for it, by their attributes; None: all.
    filter: Filter | None = None
    # Where its page must come from; empty: that is not asked.
    origins: frozenset[str] = frozenset()
    # 0: no limit.
    requests_per_minute: int = 0
    # Largest file that it may bring; None: what the settings say.
    max_file_bytes: int | None = None
    # What its requests are counted under.
    bucket: str = ""

    @property
    def author(self) -> str:
        """What its feedback is kept under: one for each caller that sees the same answers."""
        return self.key_id or ""

    def file_limit(self, general: int) -> int:
        """Return the size of the largest file that it may bring, where `general` holds for all."""
        return general if self.max_file_bytes is None else min(general, self.max_file_bytes)

    @property
    def is_limited(self) -> bool:
        return self.store_ids is not None or self.filter is not None


def search_scope(
    session: Session, caller: Caller, store_ids: Sequence[str] | None, wanted: Filter | None = None
) -> Scope:
    """Return what a search of this caller may see: of these stores, or of all that it sees, what passes both filters.

    Raises NotFound for a store that does not exist for it.
    """
    if store_ids is None:
        seen = stores.ids_of_project(session, caller.project_id)
        found = [store_id for store_id in seen if caller.store_ids is None or store_id in caller.store_ids]
    else:
        check_stores(caller, store_ids)
        found = [stores.get(session, caller.project_id, store_id).id for store_id in store_ids]
    parts = tuple(part for part in (caller.filter, wanted) if part is not None)
    joined = Compound(operator="and", parts=parts) if len(parts) > 1 else next(iter(parts), None)
    return Scope(vector_store_ids=frozenset(found), filter=joined)


def check_stores(caller: Caller, store_ids: Iterable[str]) -> None:
    """Raises NotFound for the first store that the caller's key does not see."""
    for store_id in store_ids:
        if caller.store_ids is not None and store_id not in caller.store_ids:
            raise stores.missing(store_id)


def seen_files(caller: Caller) -> ColumnElement[bool] | None:
    """Return which files exist for a caller within its project: those of its stores, and those that it uploaded."""
    if caller.store_ids is None:
        return None
    of_stores = select(VectorStoreFile.file_id).where(VectorStoreFile.vector_store_id.in_(caller.store_ids))
    return or_(File.uploaded_by == caller.key_id, File.id.in_(of_stores))


def seen_members(session: Session, caller: Caller, file_ids: Iterable[str]) -> dict[str, ArchiveMember]:
    """Return where those of the files were unpacked that come from archives which exist for the caller."""
    members = archives.members_of(session, file_ids)
    if (seen := seen_files(caller)) is None:
        return members
    wanted = {member.archive_id for member in members.values()}
    known = set(session.scalars(select(File.id).where(File.id.in_(wanted), seen)))
    return {file_id: member for file_id, member in members.items() if member.archive_id in known}


def check_files(session: Session, caller: Caller, file_ids: Iterable[str]) -> None:
    """Raises NotFound for the first file that does not exist for the caller."""
    if (seen := seen_files(caller)) is None:
        return
    for file_id in file_ids:
        if session.scalar(select(File.id).where(File.id == file_id, seen)) is None:
            raise files.missing(file_id)


def check_deletable(session: Session, caller: Caller, file_id: str) -> None:
    """A file may be in stores that the caller does not see. Raises Forbidden unless it brought the file itself."""
    if caller.store_ids is None:
        return
    if session.scalar(select(File.uploaded_by).where(File.id == file_id)) != caller.key_id:
        raise Forbidden(
            f"File {file_id!r} was not uploaded with this API key, which sees some vector stores alone: take the file "
            "out of them instead."
        )


def check_whole_project(caller: Caller, what: str) -> None:
    """Raises Forbidden for a caller that sees some stores alone. `what`: what it wants to do."""
    if caller.store_ids is not None:
        raise Forbidden(f"This API key sees some vector stores alone and cannot {what}.")


def check_path(session: Session, caller: Caller, path: dict[str, str]) -> None:
    """Check what a path names. Raises NotFound for what does not exist for the caller."""
    store_id, file_id = path.get("vector_store_id"), path.get("file_id")
    if store_id is None:
        check_files(session, caller, [file_id] if file_id else [])
        return
    check_stores(caller, [store_id])
    if file_id is not None and caller.filter is not None:
        entry = stores.get_file(session, stores.get(session, caller.project_id, store_id), file_id)
        if not caller.filter.matches(entry.attributes):
            raise stores.missing_file(store_id, file_id)
