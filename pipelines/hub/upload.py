"""Sending: one commit for each branch, over nothing that this program did not write, resumable at any point."""

from collections.abc import Sequence

from huggingface_hub import CommitOperationAdd, CommitOperationDelete

from pipelines.hub.base import HubBase
from pipelines.hub.overwrite_guard import refuse_foreign, stale_files
from pipelines.hub.repository import Branch, Repository
from pipelines.hub.secret_scan import private_here, refuse_leaks
from pipelines.hub.upload_plan import MAIN, Parcel

_UNITS = ("B", "kB", "MB", "GB", "TB")


def plan_lines(
    repository: Repository, parcels: Sequence[Parcel], *, private: bool, overwrite: bool = False
) -> list[str]:
    """What `send` would do, for a person: repository, visibility, branches, files with their sizes.

    Raises `UserError` for what `send` would refuse. Only reads.
    """
    _refuse_private(repository, parcels)
    lines: list[str] = []
    for parcel in parcels:
        there = repository.persistently(lambda name=parcel.branch: repository.branch(name))  # type: ignore[misc]
        if not overwrite:
            refuse_foreign(repository.repo_id, there, parcel.base)
        if not lines:
            lines.append(f"{repository.repo_id}: {_visibility(there, private)}")
        lines += _parcel_lines(parcel, f"over commit {there.head[:8]}" if there.head else "new")
        lines += [f"  {name:<32} {'removed':>10}" for name in stale_files(there, parcel.names)]
    return lines


def offline_plan_lines(repo_id: str, parcels: Sequence[Parcel], base: HubBase | None, *, private: bool) -> list[str]:
    """What a push would send, without a token and without asking the Hub, and what that leaves unchecked.

    Raises `UserError` for files with something private in them.
    """
    namespace = repo_id.rpartition("/")[0]
    refuse_leaks([file for parcel in parcels for file in parcel.files], private_here(namespace))
    lines = [f"{repo_id}: {'private' if private else 'public'} if it is new"]
    for parcel in parcels:
        lines += _parcel_lines(parcel, "not looked up")
    lines.append("nothing private was found in these files; not checked, because there is no token of the Hub:")
    lines.append(f"  - whether you may write to {namespace or 'your namespace'}")
    lines.append(f"  - what {repo_id} holds already, and whether a push would write over it")
    return [*lines, *([f"  - whether {base.repo_id} has the weights of the base"] if base else [])]


def _parcel_lines(parcel: Parcel, state: str) -> list[str]:
    n_bytes = sum(file.n_bytes for file in parcel.files)
    return [
        f"branch {parcel.branch} ({state}), {len(parcel.files)} files, {readable_size(n_bytes)}",
        *(f"  {file.name:<32} {readable_size(file.n_bytes):>10}" for file in parcel.files),
    ]


def send(repository: Repository, parcels: Sequence[Parcel], *, private: bool, overwrite: bool = False) -> list[str]:
    """Bring each branch to what its parcel says and tell the commits, one line for each. A new repository is `private`
    or public, one that is there stays as it is.

    A file whose content the Hub has already is not sent again, whether it was committed or not: a push that was cut off
    is repeated as it was. Raises `UserError` before anything is sent for files with something private in them, and
    for a branch that holds what no push of this program wrote, or a model on another base, unless `overwrite`; and for
    what the Hub refuses.
    """
    _refuse_private(repository, parcels)
    lines = []
    for parcel in parcels:
        before, after = repository.persistently(lambda one=parcel: _send(repository, one, private, overwrite))  # type: ignore[misc]
        what = "was there already, nothing sent" if before == after else f"commit {after[:8]}"
        lines.append(f"{repository.api.endpoint}/{repository.repo_id}/tree/{parcel.branch}: {what}")
    return lines


def _send(repository: Repository, parcel: Parcel, private: bool, overwrite: bool) -> tuple[str | None, str]:
    """The branch's head before and after. Begins anew at each try: an answer that was lost may have been a yes."""
    api, repo_id = repository.api, repository.repo_id
    there = repository.branch(parcel.branch)
    if not overwrite:
        refuse_foreign(repo_id, there, parcel.base)
    if there.is_private is None:
        api.create_repo(repo_id, private=private, exist_ok=True)
    if there.head is None:
        if parcel.branch != MAIN:
            api.create_branch(repo_id, branch=parcel.branch, exist_ok=True)
        there = repository.branch(parcel.branch)
    done = api.create_commit(
        repo_id,
        operations=[
            *(CommitOperationAdd(file.name, file.content) for file in parcel.files),
            *(CommitOperationDelete(name) for name in stale_files(there, parcel.names)),
        ],
        commit_message=f"Push of {len(parcel.files)} files",
        revision=parcel.branch,
        parent_commit=there.head,  # what was looked at is what is written over
    )
    return there.head, done.oid


def _refuse_private(repository: Repository, parcels: Sequence[Parcel]) -> None:
    files = [file for parcel in parcels for file in parcel.files]
    refuse_leaks(files, private_here(repository.namespace, repository.token))


def _visibility(there: Branch, private: bool) -> str:
    if there.is_private is None:
        return f"will be created, {'private' if private else 'public'}"
    kind = "private" if there.is_private else "public"
    return f"is there and stays {kind}" + ("" if there.is_private == private else " (change that on its settings page)")


def readable_size(n_bytes: int) -> str:
    """`n_bytes` in decimal units, as the Hub shows sizes: 1.2 MB."""
    size, unit = float(n_bytes), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{n_bytes} B" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
