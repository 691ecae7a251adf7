"""One repository is one run, its branches the run's forms: the adapter or model, checkpoints, merged weights, GGUF."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.files import read_json
from pipelines.hub.base import HubBase
from pipelines.hub.outgoing import LOCK, OutgoingFile, run_files, weight_files

MAIN = "main"


@dataclass(frozen=True)
class Parcel:
    """What one branch of a repository is to hold."""

    branch: str
    files: Sequence[OutgoingFile] = field(repr=False)

    @property
    def names(self) -> set[str]:
        """Its files by name."""
        return {file.name for file in self.files}

    @property
    def base(self) -> str | None:
        """The base that its lock names, None for a model from scratch."""
        lock = next(file for file in self.files if file.name == LOCK)
        return (json.loads(lock.read(lock.n_bytes)).get("base") or {}).get("name_or_path")


@dataclass(frozen=True)
class Run:
    """A run to publish: its folder, its lock, the card's text, what its adapter stands on, and evaluation's folders."""

    folder: Path
    lock: Mapping[str, Any]
    card: str
    base: HubBase | None
    records: Sequence[Path] = ()

    def parcel(self, branch: str) -> Parcel:
        """The adapter or model that was trained."""
        return Parcel(branch, self._files(self.folder, self.card))

    def merged_parcel(self, folder: Path, branch: str, repo_id: str) -> Parcel:
        """The model of merge.py in `folder`, on a branch beside `branch`."""
        name = branch_beside(branch, "merged")
        load = f'`AutoModelForCausalLM.from_pretrained("{repo_id}", revision="{name}")`'
        note = f"This branch holds the adapter merged into its base, to load without PEFT: {load}."
        return Parcel(name, self._files(folder, with_note(self.card, note)))

    def gguf_parcel(self, file: Path, branch: str) -> Parcel:
        """The weights in llama.cpp's format, on a branch beside `branch`."""
        card = with_note(self.card, f"This branch holds the merged model in llama.cpp's format: `{file.name}`.")
        return Parcel(branch_beside(branch, "gguf"), weight_files(file, lock=self.lock, base=self.base, card=card))

    def checkpoint_parcel(self, folder: Path, step: int) -> Parcel:
        """The checkpoint of `step` in `folder`: `step-000100`."""
        return Parcel(f"step-{step:06d}", self._files(folder, self.card))

    def _files(self, folder: Path, card: str) -> list[OutgoingFile]:
        return run_files(folder, lock=self.lock, base=self.base, card=card, records=self.records)


def refuse_other_merge(folder: Path, fingerprint: str) -> None:
    """Raise `UserError` if the merge.json in `folder` does not name the adapter of this `fingerprint`, and it alone."""
    record = folder / "merge.json"
    adapters = read_json(record).get("adapters") or [] if record.is_file() else []
    if [one.get("fingerprint") for one in adapters] != [fingerprint]:
        raise UserError(
            expected=f"{folder} to be this run's adapter merged into its base",
            got="a merge of other adapters" if adapters else "no merge.json",
            remedy="python pipelines/merge.py --adapter RUN_DIR --output DIR",
        )


def refuse_other_comparison(folder: Path, fingerprint: str) -> None:
    """Raise `UserError` if the comparison.json in `folder` measured no model of this `fingerprint`: the run folder
    holds other weights by now, and the card would show the figures of those before."""
    record = folder / "comparison.json"
    models = read_json(record).get("models") or {} if record.is_file() else {}
    if fingerprint not in [one.get("fingerprint") for one in models.values()]:
        raise UserError(
            expected=f"{folder} to have measured the weights that are pushed",
            got="a comparison of other weights" if models else "no comparison.json",
            remedy="compare again: python pipelines/compare.py --base BASE --instruct RUN_DIR --prompts PROMPTS",
        )


def branch_beside(branch: str, form: str) -> str:
    """Where another form of what is on `branch` goes: `merged` beside main, `v2-merged` beside v2."""
    return form if branch == MAIN else f"{branch}-{form}"


def with_note(card: str, note: str) -> str:
    """`card` with the paragraph `note` under its metadata."""
    opening, fence, rest = card.partition("\n---\n")
    return f"{opening}{fence}\n> {note}\n{rest}" if fence else f"> {note}\n\n{card}"


def checkpoint_card(repo_id: str, step: int, base: HubBase | None, branch: str, *, is_adapter: bool) -> str:
    """README.md of a checkpoint's branch, while the run that will be measured, and pushed to `branch`, goes on."""
    library = "peft" if is_adapter else "transformers"
    return (
        f"---\nlibrary_name: {library}\n" + (f"base_model: {base.repo_id}\n" if base else "") + "---\n\n"
        f"# {repo_id.rpartition('/')[2]} at step {step:,}\n\n"
        "A checkpoint of a run that was not finished when it was pushed, and that nobody has measured.\n"
        f"The finished model and its card are on [{branch}](https://huggingface.co/{repo_id}/tree/{branch}).\n"
    )
