"""Prompts for a comparison or for generation: read from a dataset folder or a file, checked, sampled, numbered."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import is_dataset_folder, read_manifest, read_rows
from pipelines.errors import UserError
from pipelines.evaluation.response_checks import RequestedFunction, requested_function
from pipelines.files import sha256_of_file

EXTRA = "extra"


@dataclass(frozen=True)
class Prompt:
    """A request to a model. `reference` is the answer that a person gave, None where there is none.

    Figures rest on `counted` prompts alone; one that the user typed is answered and shown, and not counted.
    """

    id: int
    instruction: str
    input: str = ""
    reference: str | None = None
    category: str | None = None
    counted: bool = True

    @property
    def requested(self) -> RequestedFunction | None:
        """The Python function that the instruction asks for, None if it asks for none."""
        return requested_function(self.instruction)


def typed_prompts(instructions: Sequence[str]) -> list[Prompt]:
    """Prompts that the user typed, numbered from 0; no figure counts them."""
    return [Prompt(number, text, category=EXTRA, counted=False) for number, text in enumerate(instructions)]


def read_prompts(path: Path, split: str = "test", *, first_id: int = 0) -> list[Prompt]:
    """The prompts of a dataset folder's split or of a file, numbered from `first_id`.

    Raises `UserError` for a row without an instruction.
    """
    rows = read_rows(path, split)
    return [_prompt_of(row, first_id + place, f"row {place + 1} of {path}") for place, row in enumerate(rows)]


def held_out_prompts(path: Path, split: str, *, limit: int | None, seed: int, first_id: int = 0) -> list[Prompt]:
    """Prompts to rest figures on, all or `limit` of them: drawn with `seed`, since the first may all be of one source.

    Raises `UserError` as `read_prompts`, and for fewer than two, which have no interval.
    """
    prompts = read_prompts(path, split, first_id=first_id)
    if limit is not None and limit < len(prompts):
        prompts = sorted(random.Random(seed).sample(prompts, max(0, limit)), key=lambda prompt: prompt.id)
    if len(prompts) < 2:
        raise UserError(
            expected="at least two prompts to measure",
            got=str(len(prompts)),
            remedy="give more --prompts or a higher --limit",
        )
    return prompts


def _prompt_of(row: dict[str, Any], id: int, where: str) -> Prompt:
    """The prompt in a row with `instruction` (and `input`, `output`, `category`), or with `prompt` alone."""
    texts = {name: row.get(name) for name in ("instruction", "prompt", "input", "output", "category")}
    wrong = [name for name, value in texts.items() if not (value is None or isinstance(value, str))]
    if wrong:
        raise UserError(
            expected=f"text in {wrong[0]!r} in {where}",
            got=f"a {type(texts[wrong[0]]).__name__}",
            remedy="write it as a string",
        )
    instruction = texts["instruction"] or texts["prompt"] or ""
    if not instruction.strip():
        raise UserError(
            expected=f"`instruction` or `prompt` in {where}",
            got=f"the columns {', '.join(map(str, row)) or '(none)'}" if "instruction" not in row else "an empty one",
            remedy="name the columns instruction, input, output, or prompt",
        )
    return Prompt(id, instruction, texts["input"] or "", texts["output"] or None, texts["category"] or None)


def describe_prompts(path: Path, split: str, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """The record of where prompts came from; `n` counts those that figures rest on."""
    folder = is_dataset_folder(path)
    return {
        "path": str(path),
        "split": split if folder else None,
        "sha256": read_manifest(path)["content_sha256"][split] if folder else sha256_of_file(path),
        "n": sum(prompt.counted for prompt in prompts),
    }
