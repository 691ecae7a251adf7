"""One repository is one run, and each form of it has a branch: adapter or model, checkpoints, merged weights, GGUF."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.files import read_json
from pipelines.hub.base import HubBase
from pipelines.hub.repository import Branch
from pipelines.hub.upload_files import LOCK, UploadFile, gguf_files, is_published, run_files

MAIN = "main"


@dataclass(frozen=True)
class UploadPlan:
    """The files that one branch of a repository is to hold."""

    branch: str
    files: Sequence[UploadFile] = field(repr=False)

    @property
    def names(self) -> set[str]:
        """The names of its files."""
        return {file.name for file in self.files}

    @property
    def base(self) -> str | None:
        """The base that its lock names, None for a model from scratch."""
        lock = next(file for file in self.files if file.name == LOCK)
        return (json.loads(lock.read(lock.n_bytes)).get("base") or {}).get("name_or_path")

    def owns(self, name: str) -> bool:
        """Whether a push of this kind writes files of this name, and so may replace or remove one."""
        return is_published(name)

    def refuse_foreign(self, repo_id: str, there: Branch) -> None:
        """Raise `UserError` if the branch `there` holds something else that this push would replace or remove."""
        refuse_foreign(repo_id, there, self.base)


@dataclass(frozen=True)
class PublishedRun:
    """A run to publish: its folder and lock, the text of its card, the base of its adapter, and the folders with the
    records of its evaluation."""

    folder: Path
    lock: Mapping[str, Any]
    card: str
    base: HubBase | None
    records: Sequence[Path] = ()

    def plan(self, branch: str) -> UploadPlan:
        """The adapter or model that was trained."""
        return UploadPlan(branch, self._files(self.folder, self.card))

    def merged_plan(self, folder: Path, branch: str, repo_id: str) -> UploadPlan:
        """The merged model in `folder`, on the branch `merged` (or BRANCH-merged)."""
        name = form_branch(branch, "merged")
        load = f'`AutoModelForCausalLM.from_pretrained("{repo_id}", revision="{name}")`'
        note = f"This branch holds the adapter merged into its base. It loads without PEFT: {load}."
        return UploadPlan(name, self._files(folder, with_note(self.card, note)))

    def gguf_plan(self, file: Path, branch: str) -> UploadPlan:
        """The weights in llama.cpp's format, on the branch `gguf` (or BRANCH-gguf)."""
        card = with_note(self.card, f"This branch holds the merged model in llama.cpp's format: `{file.name}`.")
        return UploadPlan(form_branch(branch, "gguf"), gguf_files(file, lock=self.lock, base=self.base, card=card))

    def checkpoint_plan(self, folder: Path, step: int) -> UploadPlan:
        """The checkpoint of `step` in `folder`, on the branch `step-000100`."""
        return UploadPlan(f"step-{step:06d}", self._files(folder, self.card))

    def _files(self, folder: Path, card: str) -> list[UploadFile]:
        return run_files(folder, lock=self.lock, base=self.base, card=card, records=self.records)


def refuse_foreign(repo_id: str, there: Branch, base: str | None) -> None:
    """Raise `UserError` if the branch holds files that a push would replace or remove, and that are neither from an
    earlier push of a model on `base` (None: from scratch) nor a copy of the main branch."""
    taken = [name for name in there.files if is_published(name)]
    if not taken or there.is_copy:
        return
    fix = "choose another repository or branch, or push with --overwrite (the old commits stay in the history)"
    if there.record is None or there.record.get("kind") != "lock":  # other projects have files of that name too
        raise UserError(f"branch {there.name} of {repo_id} holds unrelated files ({', '.join(taken[:3])})", fix)
    base_there = (there.record.get("base") or {}).get("name_or_path")
    if base_there != base:
        found, wanted = (f"on {one}" if one else "from scratch" for one in (base_there, base))
        raise UserError(f"branch {there.name} of {repo_id} holds a model {found}, expected one {wanted}", fix)


def refuse_other_merge(folder: Path, fingerprint: str) -> None:
    """Raise `UserError` unless the merge.json in `folder` names the adapter with this `fingerprint` alone."""
    merge = read_json(folder / "merge.json") if (folder / "merge.json").is_file() else None
    if merge is None or [one.get("fingerprint") for one in merge.get("adapters") or []] != [fingerprint]:
        found = "no merge.json" if merge is None else "a merge of other adapters"
        problem = f"{folder} holds {found}, expected this run's adapter merged into its base"
        raise UserError(problem, "python pipelines/merge.py --adapter RUN_DIR --output DIR")


def refuse_other_comparison(folder: Path, fingerprint: str) -> None:
    """Raise `UserError` unless the comparison.json in `folder` measured the weights with this `fingerprint`: the card
    would show figures of weights that the run folder no longer holds."""
    record = read_json(folder / "comparison.json") if (folder / "comparison.json").is_file() else None
    if record is None or fingerprint not in [one.get("fingerprint") for one in (record.get("models") or {}).values()]:
        found = "no comparison.json" if record is None else "a comparison of other weights"
        problem = f"{folder} holds {found}, expected a comparison of the pushed weights"
        fix = "compare again: python pipelines/compare.py --base BASE --instruct RUN_DIR --prompts PROMPTS"
        raise UserError(problem, fix)


def form_branch(branch: str, form: str) -> str:
    """The branch for another form of what is on `branch`: `merged` for main, `v2-merged` for v2."""
    return form if branch == MAIN else f"{branch}-{form}"


def with_note(card: str, note: str) -> str:
    """`card` with the paragraph `note` under its metadata."""
    metadata, fence, rest = card.partition("\n---\n")
    return f"{metadata}{fence}\n> {note}\n{rest}" if fence else f"> {note}\n\n{card}"


def checkpoint_card(repo_id: str, step: int, base: HubBase | None, branch: str, *, is_adapter: bool) -> str:
    """README.md of a checkpoint's branch. The finished run goes to `branch`."""
    library = "peft" if is_adapter else "transformers"
    return (
        f"---\nlibrary_name: {library}\n" + (f"base_model: {base.repo_id}\n" if base else "") + "---\n\n"
        f"# {repo_id.rpartition('/')[2]} at step {step:,}\n\n"
        "A checkpoint of a run that was still training when it was pushed. It has not been evaluated.\n"
        f"The finished model and its card are on [{branch}](https://huggingface.co/{repo_id}/tree/{branch}).\n"
    )
