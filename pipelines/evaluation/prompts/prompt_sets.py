"""Prompts for a comparison or for generation: read from a dataset folder or a file, checked, sampled, numbered."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import is_dataset_folder, read_manifest, read_rows
from pipelines.errors import UserError
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.prompts.prompt_rows import checks_of, turns_of_row
from pipelines.evaluation.statistics.row_groups import group_of, groups_by_instruction
from pipelines.files import sha256_of_file

EXTRA = "extra"


def typed_prompts(instructions: Sequence[str]) -> list[Prompt]:
    """Prompts that the user typed, numbered from 0; no figure counts them. Raises `UserError` for an empty one."""
    if not all(text.strip() for text in instructions):
        raise UserError("a --prompt is empty", "write a request after --prompt")
    return [Prompt(number, text, category=EXTRA, counted=False) for number, text in enumerate(instructions)]


def read_prompts(path: Path, split: str = "test", *, first_id: int = 0, all_turns: bool = False) -> list[Prompt]:
    """Read the prompts of a dataset folder's split or of a file of any row format, numbered from `first_id`.

    The reference of a conversation is its last trained assistant turn, after the turns before it; with `all_turns` each
    trained turn gives a prompt, all of one group. Rows without `group` are grouped by `groups_by_instruction`. Raises
    `UserError` for a row without a request, or that cannot be read.
    """
    prompts: list[Prompt] = []
    for number, row in enumerate(read_rows(path, split), start=1):
        where = f"row {number} of {path}"
        prompts += prompts_of_row(row, first_id + len(prompts), number, where, all_turns=all_turns)
    alone = [None if one.context else one.instruction for one in prompts]
    groups = groups_by_instruction([one.group for one in prompts], alone)
    return [replace(one, group=group) for one, group in zip(prompts, groups, strict=True)]


def held_out_prompts(
    path: Path, split: str, *, limit: int | None, seed: int, first_id: int = 0, all_turns: bool = False
) -> list[Prompt]:
    """Read the prompts of a comparison, or draw `limit` with `seed`, since the first can all be of one source. Raises
    `UserError` as `read_prompts`, and for fewer than two, which have no interval."""
    prompts = read_prompts(path, split, first_id=first_id, all_turns=all_turns)
    if limit is not None and limit < len(prompts):
        prompts = sorted(random.Random(seed).sample(prompts, max(0, limit)), key=lambda prompt: prompt.id)
    if len(prompts) < 2:
        raise UserError(
            f"only {len(prompts)} prompt to measure, expected two or more", "give more --prompts or a higher --limit"
        )
    return prompts


def prompts_of_row(
    row: dict[str, Any], first_id: int, number: int, where: str, *, all_turns: bool = False
) -> Iterator[Prompt]:
    """Read the prompt of a row, or that of each turn. The row's checks belong to its last turn. Raises `UserError` as
    `read_prompts`."""
    turns = turns_of_row(row, where)
    group = group_of(row)
    if group is None and all_turns and len(turns) > 1:
        group = f"row {number}"
    for place, one in enumerate(turns if all_turns else turns[-1:]):
        checks = checks_of(row, where) if one is turns[-1] else {}
        yield replace(one, id=first_id + place, category=row.get("category") or None, group=group, **checks)


def describe_prompts(path: Path, split: str, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """The record of the prompts' source; `n` is the number of counted ones, `n_with_system` and
    `n_with_earlier_turns` of those with more than a request."""
    folder = is_dataset_folder(path)
    return {
        "path": str(path),
        "split": split if folder else None,
        "sha256": read_manifest(path)["content_sha256"][split] if folder else sha256_of_file(path),
        "n": sum(prompt.counted for prompt in prompts),
        "n_with_system": sum(prompt.counted and prompt.has_system for prompt in prompts),
        "n_with_earlier_turns": sum(prompt.counted and prompt.has_earlier_turns for prompt in prompts),
    }
