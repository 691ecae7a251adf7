"""Hub upload with `push_to_hub: true`: each checkpoint to its own branch, the finished run to the recipe's branch.

transformers' push is off: it would upload training_args.bin, and a card without measured figures.
"""

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, HubStrategy

from pipelines.errors import UserError
from pipelines.hub.access import repository_name
from pipelines.hub.base import HubBase, hub_base
from pipelines.hub.local_paths import without_local_paths
from pipelines.hub.model_ref import is_adapter
from pipelines.hub.repository import Repository, writable_repository
from pipelines.hub.retry import RetryPolicy
from pipelines.hub.upload import upload
from pipelines.hub.upload_plan import MAIN, PublishedRun, checkpoint_card, refuse_foreign
from pipelines.inference.processes import made_once
from pipelines.recipe import Recipe
from pipelines.records import read_lock


@dataclass(frozen=True)
class PlannedPush:
    """An upload with token, name, permission and base checked before the first step. `repository` is None on ranks that
    do not push; `base` is set if the recipe names the Hub's copy of a local base."""

    folder: Path
    repository: Repository | None
    base: HubBase | None
    revision: str
    private: bool
    strategy: HubStrategy

    def follow(self, trainer: Trainer) -> None:
        """Upload each checkpoint of `trainer`, unless the recipe's hub_strategy is `end`."""
        if self.strategy is not HubStrategy.END:
            trainer.add_callback(CheckpointUploadCallback(self))

    def finish(self, card: Callable[..., str]) -> None:
        """Push the finished run and print where it is; nothing on the ranks that do not push.

        `card` is `pipelines.report.model_card.model_card`. Raises `UserError` with the command that pushes it again.
        """
        if self.repository is None:
            return
        repo_id, lock = self.repository.repo_id, read_lock(self.folder)
        try:
            base = self._base(self.repository, lock)
            revision = None if self.revision == MAIN else self.revision
            text = card(self.folder, repo_id=repo_id, base_model=base.repo_id if base else None, revision=revision)
            plan = PublishedRun(self.folder, lock, text, base).plan(self.revision)
            print(*upload(self.repository, [plan], private=self.private), sep="\n")
        except UserError as error:
            again = f"the run is complete, push it again with: {self._command(repo_id)}"
            raise UserError(error.problem, f"{error.fix}; {again}" if error.fix else again) from error

    def _command(self, repo_id: str) -> str:
        """The command of push.py that repeats `finish`."""
        words = ["python", "pipelines/push.py", str(self.folder), "--repo_id", repo_id]
        words += ["--revision", self.revision] if self.revision != MAIN else []
        words += ["--base_model", self.base.repo_id] if self.base else []
        return shlex.join([*words, *([] if self.private else ["--public"])])

    def push_checkpoint(self, step: int, policy: RetryPolicy) -> None:
        """Upload the checkpoint of `step` to its branch. Raises `UserError` as `upload`."""
        if self.repository is None:
            return
        repository = replace(self.repository, policy=policy)
        folder, lock = self.folder / f"{PREFIX_CHECKPOINT_DIR}-{step}", read_lock(self.folder)
        base = self._base(repository, lock)
        card = checkpoint_card(repository.repo_id, step, base, self.revision, is_adapter=is_adapter(str(folder)))
        run = PublishedRun(folder, lock, card, base)
        upload(repository, [run.checkpoint_plan(folder, step)], private=self.private)

    def _base(self, repository: Repository, lock: dict[str, Any]) -> HubBase | None:
        return self.base or hub_base(lock["base"], None, repository, is_needed=is_adapter(str(self.folder)))


class CheckpointUploadCallback(TrainerCallback):
    """Upload the weights, tokenizer and lock of each saved checkpoint to the branch `step-000100`, without the
    optimizer.

    Training waits, because the checkpoint could be rotated away during the upload. The first failure prints a warning
    and does not stop training; later uploads are tried without retries.
    """

    def __init__(self, push: PlannedPush) -> None:
        self.push, self.policy = push, RetryPolicy()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """Upload the saved checkpoint."""
        try:
            self.push.push_checkpoint(state.global_step, self.policy)
        except UserError as error:
            if self.policy.n_retries:
                step = state.global_step
                warning = f"warning: the checkpoint of step {step} was not pushed: {error}; training continues"
                print(warning, file=sys.stderr, flush=True)
            self.policy = RetryPolicy(n_retries=0)


def planned_push(recipe: Recipe, base: str | None) -> PlannedPush | None:
    """Check the upload of `recipe` with the Hub; None without push_to_hub. `base` is the trained folder or Hub id, None
    from scratch.

    Removes push_to_hub and the token from transformers' arguments. Raises `UserError` on every rank if the upload would
    fail after the run: the token, the permission, the name, a base that the Hub lacks, a branch with other content.
    """
    _, training, _ = recipe.arguments
    if not training.push_to_hub:
        return None
    token, training.push_to_hub, training.hub_token = training.hub_token, False, None
    checked: list[tuple[Repository, HubBase | None]] = []  # on rank 0 alone: the repository has the token
    made_once(lambda: checked.append(_checked(recipe, base, token)))
    repository, there = checked[0] if checked else (None, None)
    return PlannedPush(
        folder=Path(str(training.output_dir)),
        repository=repository,
        base=there,
        revision=training.hub_revision or MAIN,
        private=training.hub_private_repo is not False,
        strategy=HubStrategy(training.hub_strategy),
    )


def _checked(recipe: Recipe, base: str | None, token: str | None) -> tuple[Repository, HubBase | None]:
    """The repository, and the Hub's copy of a local base; None for a Hub base, whose commit is in the lock."""
    data, training, model_arguments = recipe.arguments
    repository, there = writable_repository(repository_name(training), token), None
    name = base and (without_local_paths(base) if Path(base).exists() else base.partition("@")[0])
    if base is not None and Path(base).is_dir():
        is_needed = bool(model_arguments.use_peft or getattr(data, "adapter_name_or_path", None))
        there = hub_base({"name_or_path": base}, data.hub_base_model, repository, is_needed=is_needed)
    branch = repository.with_retries(lambda: repository.branch(training.hub_revision or MAIN))
    refuse_foreign(repository.repo_id, branch, there.repo_id if there else name)
    return repository, there
