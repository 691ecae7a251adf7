"""Prompts for a comparison or for generation: read from a dataset folder or a file, checked, sampled, numbered."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from data_prep.dataset_folder import is_dataset_folder, read_manifest, read_rows
from pipelines.errors import UserError
from pipelines.evaluation.checks.constraints import Constraint, constraints_of
from pipelines.evaluation.checks.numeric_answer import marked_number, number_of
from pipelines.evaluation.checks.python_answer import RequestedFunction, requested_function
from pipelines.evaluation.running_code import CodeTests, code_tests_of
from pipelines.files import is_utf8, sha256_of_file

EXTRA = "extra"


@dataclass(frozen=True)
class Prompt:
    """A request to a model, and what an answer to it is checked against.

    `reference` is the answer that a person gave, None where there is none; `references` are further ones that are right
    too; `number` is what an answer must come to, as 42, 0.5 or 3/4; `constraints` are what can be verified of an answer
    without a reference; `tests` are run after its code.

    Figures rest on `counted` prompts alone; one that the user typed is answered and shown, and not counted.
    """

    id: int
    instruction: str
    input: str = ""
    reference: str | None = None
    category: str | None = None
    counted: bool = True
    references: tuple[str, ...] = ()
    number: str | None = None
    constraints: tuple[Constraint, ...] = ()
    tests: CodeTests | None = None

    @property
    def accepted_answers(self) -> tuple[str, ...]:
        """All answers that are right, the reference first."""
        return self.references if self.reference is None else (self.reference, *self.references)

    @property
    def expected_number(self) -> str | None:
        """The number that an answer must come to: the row's own, else what follows `####` in the reference."""
        return self.number if self.number is not None or self.reference is None else marked_number(self.reference)

    @property
    def asks_for_code(self) -> bool:
        """Whether the instruction names a Python function or the answer is tested by running it."""
        return self.tests is not None or self.requested is not None

    @property
    def requested(self) -> RequestedFunction | None:
        """The Python function that the instruction asks for, None if it asks for none."""
        return requested_function(self.instruction)


def typed_prompts(instructions: Sequence[str]) -> list[Prompt]:
    """Prompts that the user typed, numbered from 0; no figure counts them. Raises `UserError` for an empty one."""
    if not all(text.strip() for text in instructions):
        raise UserError(expected="a --prompt that is not empty", got="an empty one", remedy="write what to answer")
    return [Prompt(number, text, category=EXTRA, counted=False) for number, text in enumerate(instructions)]


def read_prompts(path: Path, split: str = "test", *, first_id: int = 0) -> list[Prompt]:
    """The prompts of a dataset folder's split or of a file, numbered from `first_id`.

    Raises `UserError` for a row without an instruction, or with something to check against that cannot be read.
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
    """The prompt in a row with `instruction` (and `input`, `output`, `category`), or with `prompt`; what answers are
    checked against is in `references`, `numeric_answer`, `constraints` (or IFEval's columns), `tests` (or MBPP's,
    HumanEval's)."""
    texts = {name: row.get(name) for name in ("instruction", "prompt", "input", "output", "category")}
    wrong = [name for name, value in texts.items() if not (value is None or isinstance(value, str))]
    broken = [name for name, value in texts.items() if isinstance(value, str) and not is_utf8(value)]
    if broken:
        raise UserError(
            expected=f"text that UTF-8 can hold in {broken[0]!r} in {where}",
            got="half of a surrogate pair",
            remedy="remove it, or write the character whole",
        )
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
    return Prompt(
        id,
        instruction,
        texts["input"] or "",
        texts["output"] or None,
        texts["category"] or None,
        references=_references(row, where),
        number=_number(row, where),
        constraints=constraints_of(row, where),
        tests=code_tests_of(row),
    )


def _references(row: dict[str, Any], where: str) -> tuple[str, ...]:
    given = row.get("references")
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise UserError(
            expected=f"a list of texts in 'references' in {where}",
            got=repr(given)[:60],
            remedy='write it as ["..."] in JSONL: a CSV file holds no lists',
        )
    return tuple(one for one in given if one.strip())


def _number(row: dict[str, Any], where: str) -> str | None:
    given = row.get("numeric_answer")
    if given is None:
        return None
    written = format(Decimal(repr(given)), "f") if isinstance(given, float) else str(given)
    if isinstance(given, bool) or not isinstance(given, str | int | float) or number_of(written) is None:
        raise UserError(
            expected=f"a number in 'numeric_answer' in {where}",
            got=repr(given)[:60],
            remedy="write it as 42, 0.5 or 3/4",
        )
    return written


def describe_prompts(path: Path, split: str, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """The record of where prompts came from; `n` counts those that figures rest on."""
    folder = is_dataset_folder(path)
    return {
        "path": str(path),
        "split": split if folder else None,
        "sha256": read_manifest(path)["content_sha256"][split] if folder else sha256_of_file(path),
        "n": sum(prompt.counted for prompt in prompts),
    }
