"""The few-shot baseline: the base answers after a few examples of the training split, the same ones for all prompts.

An example is a request and an empty line, the answer, and a line of its own with `###`. A base that continues the
pattern ends its answer with that line, and the answer is cut there. Rows of plain prompts and completions have no empty
line between them, as in training.
"""

import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_prep.conversation import PlainText
from data_prep.dataset_folder import is_dataset_folder, read_manifest, read_rows
from pipelines.errors import UserError
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.prompts.prompt_sets import prompts_of_row
from pipelines.inference.served_model import ServedModel
from pipelines.modeling import LoadedModel, PromptStyle, render_prompt

SEPARATOR = "\n\n###\n\n"
END_OF_ANSWER = "\n###\n"
_N_DRAWN = 64  # rows to choose examples from: the shorter half of them
_SHARE_OF_POSITIONS = 1 / 3  # the most that the examples take together
_POSITIONS = 4096  # of a model whose config has no limit


@dataclass(frozen=True)
class FewShotPool:
    """The candidates for `n_wanted` examples, in order; without any, `why_not` is the reason."""

    n_wanted: int
    candidates: tuple[Prompt, ...] = ()
    source: str | None = None
    why_not: str | None = None

    @classmethod
    def read(
        cls, n_wanted: int, prompts: Path, given: Path | None, held_out: Sequence[Prompt], seed: int
    ) -> "FewShotPool":
        """Draw rows with `seed` from `given` (a folder's training split, or a file), else from the training split of
        the folder `prompts`, without rows that equal a held-out prompt. Raises `UserError` for a `given` that cannot be
        read, and for a negative `n_wanted`."""
        if n_wanted < 0:
            raise UserError(f"--base_few_shot is {n_wanted}, expected 0 or more", "give 0 for no examples")
        if n_wanted == 0:
            return cls(0, why_not="turned off by --base_few_shot 0")
        path = given or prompts
        if given is None and not is_dataset_folder(path):
            return cls(n_wanted, why_not=f"{path.name} has no training split; give --few_shot_from")
        if is_dataset_folder(path) and not read_manifest(path)["n_rows"].get("train"):
            return cls(n_wanted, why_not=f"{path.name} has no training split")
        rows = read_rows(path, "train")
        asked = {prompt.full_text for prompt in held_out}
        drawn: list[Prompt] = []
        for number in random.Random(seed).sample(range(len(rows)), len(rows)):
            found: list[Prompt] = []
            with suppress(UserError):  # a row that cannot be read is not an example
                found = list(prompts_of_row(rows[number], number, number + 1, f"row {number + 1} of {path}"))
            drawn += [one for one in found if one.response and not one.thought and one.full_text not in asked]
            if len(drawn) >= _N_DRAWN:
                break
        lengths = sorted(len(example_text(one)) for one in drawn)
        short = [one for one in drawn if len(example_text(one)) <= lengths[len(lengths) // 2]]
        source = f"train split of {path.name}" if is_dataset_folder(path) else path.name
        return cls(n_wanted, tuple(short), source, None if short else f"no row of the {source} has an answer")

    def examples_for(self, loaded: LoadedModel | ServedModel) -> "FewShot | None":
        """Choose the first candidates of different groups that together fit into a third of the model's positions."""
        left = int((loaded.max_positions or _POSITIONS) * _SHARE_OF_POSITIONS)
        chosen: list[Prompt] = []
        groups: set[str] = set()
        for one in self.candidates[: None if self.n_wanted else 0]:
            n_tokens = len(loaded.tokenizer(example_text(one))["input_ids"])
            fits = n_tokens <= left / (self.n_wanted - len(chosen))
            if fits and (one.group is None or one.group not in groups):
                chosen.append(one)
                groups |= {one.group} if one.group else set()
                left -= n_tokens
            if len(chosen) == self.n_wanted:
                break
        return FewShot(tuple(chosen), self.source) if chosen else None


@dataclass(frozen=True)
class FewShot:
    """The examples that come before each prompt."""

    examples: tuple[Prompt, ...]
    source: str | None

    def asked(self, loaded: LoadedModel | ServedModel, prompt: Prompt, n_new: int) -> Prompt:
        """`prompt` after the examples, as text; after fewer examples if they and `n_new` tokens do not fit."""
        limit = (loaded.max_positions or _POSITIONS) - n_new
        for first in range(len(self.examples) + 1):
            before = "".join(example_text(one) for one in self.examples[first:])
            after = replace(prompt, context=PlainText(before + _request_text(prompt), ""))
            if len(render_prompt(loaded.tokenizer, after.asked, PromptStyle.PLAIN)) <= limit:
                break
        return after

    def to_json(self) -> dict[str, Any]:
        """The examples in comparison.json."""
        return {
            "n_examples": len(self.examples),
            "source": self.source,
            "separator": SEPARATOR,
            "examples": [{"id": one.id, "text": example_text(one)} for one in self.examples],
        }


def example_text(prompt: Prompt) -> str:
    """A prompt with its reference and the separator."""
    return f"{_request_text(prompt)}{prompt.reference}{SEPARATOR}"


def _request_text(prompt: Prompt) -> str:
    return prompt.full_text if isinstance(prompt.asked, PlainText) else f"{prompt.full_text}\n\n"
