"""Upload: one commit for each branch. Files that no push of this program wrote are not overwritten."""

from collections.abc import Iterator, Sequence

from huggingface_hub import CommitOperationAdd, CommitOperationDelete

from pipelines.hub.base import HubBase
from pipelines.hub.repository import Branch, Repository
from pipelines.hub.secret_scan import local_secrets, refuse_secrets
from pipelines.hub.upload_plan import MAIN, UploadPlan

_UNITS = ("B", "kB", "MB", "GB", "TB")


def push_lines(
    repository: Repository | None,
    repo_id: str,
    plans: Sequence[UploadPlan],
    base: HubBase | None = None,
    *,
    private: bool,
    overwrite: bool,
    dry_run: bool,
) -> Iterator[str]:
    """Describe the upload, then carry it out unless `dry_run`; without a `repository`, only describe it."""
    if repository is None:
        yield from offline_plan_lines(repo_id, plans, base, private=private)
    else:
        yield from plan_lines(repository, plans, private=private, overwrite=overwrite)
    if repository is None or dry_run:
        yield "nothing was sent (--dry_run)"
    else:
        yield from upload(repository, plans, private=private, overwrite=overwrite)


def plan_lines(
    repository: Repository, plans: Sequence[UploadPlan], *, private: bool, overwrite: bool = False
) -> list[str]:
    """Describe what `upload` would do: repository, visibility, branches, files with their sizes. Only reads.

    Raises `UserError` for what `upload` would refuse.
    """
    _scan_all(plans, repository.namespace, repository.token)
    lines: list[str] = []
    for plan in plans:
        there = repository.with_retries(lambda name=plan.branch: repository.branch(name))  # type: ignore[misc]
        if not overwrite:
            plan.refuse_foreign(repository.repo_id, there)
        if not lines:
            lines.append(f"{repository.repo_id}: {_visibility(there, private)}")
        lines += _file_lines(plan, f"over commit {there.head[:8]}" if there.head else "new")
        lines += [f"  {name:<32} {'removed':>10}" for name in _stale_files(there, plan)]
    return lines


def offline_plan_lines(repo_id: str, plans: Sequence[UploadPlan], base: HubBase | None, *, private: bool) -> list[str]:
    """Describe an upload without a token and without asking the Hub, and list what that leaves unchecked.

    Raises `UserError` for secrets in the files.
    """
    namespace = repo_id.rpartition("/")[0]
    _scan_all(plans, namespace)
    lines = [f"{repo_id}: {'private' if private else 'public'} if it is new"]
    for plan in plans:
        lines += _file_lines(plan, "not checked")
    lines.append("the secret scan found nothing in these files; not checked, because there is no token for the Hub:")
    lines.append(f"  - whether you may write to {namespace or 'your namespace'}")
    lines.append(f"  - what {repo_id} already holds, and whether a push would overwrite it")
    return [*lines, *([f"  - whether {base.repo_id} has the weights of the base"] if base else [])]


def upload(repository: Repository, plans: Sequence[UploadPlan], *, private: bool, overwrite: bool = False) -> list[str]:
    """Commit each branch, and return one line for each commit. A new repository is `private` or public, an existing one
    stays as it is.

    The client skips content that the Hub has already, committed or not, so an interrupted push is resumed by repeating
    it. Raises `UserError` before the first request for secrets in the files; and for a branch that holds files of
    something else or a model on another base, unless `overwrite`; and for what the Hub refuses.
    """
    _scan_all(plans, repository.namespace, repository.token)
    lines = []
    for plan in plans:
        before, after = repository.with_retries(lambda one=plan: _commit(repository, one, private, overwrite))  # type: ignore[misc]
        result = "already up to date, nothing sent" if before == after else f"commit {after[:8]}"
        lines.append(f"{repository.url}/tree/{plan.branch}: {result}")
    return lines


def _stale_files(there: Branch, plan: UploadPlan) -> list[str]:
    """Files of an earlier push that the new one lacks: they would be taken for the new one's."""
    return [name for name in there.files if plan.owns(name) and name not in plan.names]


def _file_lines(plan: UploadPlan, state: str) -> list[str]:
    n_bytes = sum(file.n_bytes for file in plan.files)
    return [
        f"branch {plan.branch} ({state}), {len(plan.files)} files, {readable_size(n_bytes)}",
        *(f"  {file.name:<32} {readable_size(file.n_bytes):>10}" for file in plan.files),
    ]


def _commit(repository: Repository, plan: UploadPlan, private: bool, overwrite: bool) -> tuple[str | None, str]:
    """Return the branch's head before and after. A retry starts over: a lost answer may have been a success."""
    api, repo_id, repo_type = repository.api, repository.repo_id, repository.repo_type
    there = repository.branch(plan.branch)
    if not overwrite:
        plan.refuse_foreign(repo_id, there)
    if there.is_private is None:
        api.create_repo(repo_id, private=private, exist_ok=True, repo_type=repo_type)
    if there.head is None:
        if plan.branch != MAIN:
            api.create_branch(repo_id, branch=plan.branch, exist_ok=True, repo_type=repo_type)
        there = repository.branch(plan.branch)
    done = api.create_commit(
        repo_id,
        operations=[
            *(CommitOperationAdd(file.name, file.content) for file in plan.files),
            *(CommitOperationDelete(name) for name in _stale_files(there, plan)),
        ],
        commit_message=f"Push of {len(plan.files)} files",
        revision=plan.branch,
        repo_type=repo_type,
        parent_commit=there.head,  # the Hub refuses the commit if somebody else has pushed since
    )
    return there.head, done.oid


def _scan_all(plans: Sequence[UploadPlan], namespace: str, token: str | None = None) -> None:
    refuse_secrets([file for plan in plans for file in plan.files], local_secrets(namespace, token))


def _visibility(there: Branch, private: bool) -> str:
    if there.is_private is None:
        return f"will be created, {'private' if private else 'public'}"
    kind = "private" if there.is_private else "public"
    return f"exists and stays {kind}" + ("" if there.is_private == private else " (change that on its settings page)")


def readable_size(n_bytes: int) -> str:
    """`n_bytes` in decimal units, as the Hub shows sizes: 1.2 MB."""
    size, unit = float(n_bytes), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{n_bytes} B" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
