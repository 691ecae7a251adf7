"""What a push may write over: nothing that no push of a model on the same base has left there."""

from pipelines.errors import UserError
from pipelines.hub.outgoing import is_published
from pipelines.hub.repository import Branch


def refuse_foreign(repo_id: str, there: Branch, base: str | None) -> None:
    """Raise `UserError` if the branch holds files that a push would replace or remove, and they are not those of an
    earlier push of a model on `base` (None: from scratch), nor the main branch's, which has them still."""
    taken = [name for name in there.files if is_published(name)]
    if not taken or there.is_copy:
        return
    remedy = "choose another repository or branch, or push with --overwrite (the old commits stay in the history)"
    if there.lock is None or there.lock.get("kind") != "lock":  # others have files of that name too
        raise UserError(
            expected=f"a new or empty branch {there.name} of {repo_id}, or one that was pushed from here",
            got=f"files of something else ({', '.join(taken[:3])})",
            remedy=remedy,
        )
    base_there = (there.lock.get("base") or {}).get("name_or_path")
    if base_there != base:
        raise UserError(
            expected=f"a model on {base or 'no base'} in branch {there.name} of {repo_id}",
            got=f"one on {base_there or 'no base'}",
            remedy=remedy,
        )


def stale_files(there: Branch, names: set[str]) -> list[str]:
    """Files of an earlier push that one of `names` lacks: they would be taken for this model's."""
    return [name for name in there.files if is_published(name) and name not in names]
