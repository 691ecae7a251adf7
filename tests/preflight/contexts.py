"""Cases for the checks' tests: real recipes over short rows and tiny bases, opened as the doctor opens them."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
from trl import DPOConfig, ModelConfig, SFTConfig

from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks import Check
from pipelines.preflight.context_builder import build_context
from pipelines.recipe import Recipe, parse_recipe
from pipelines.recipe.arguments import InstructionArguments, PreferenceArguments
from pipelines.recipe.stages import ARGUMENTS
from pipelines.records.finding import Finding, Severity
from tests.run_files import with_bfloat16
from tests.twins.models import save_twin

Row = Mapping[str, Any]
Bases = dict[str, Path]  # the tiny base of each family

# Tiny bases by tokenizer family: no template and one special token; ChatML's marks; Llama 3's marks and BOS.
FAMILIES = {"gpt2": "gpt2", "qwen": "qwen2.5-0.5b", "llama3": "llama-3.2-1b"}
_KEYS = {
    "dtype": "float32", "use_peft": True, "lora_r": 8, "lora_target_modules": "all-linear", "max_length": 512,
    "learning_rate": 2e-4, "num_train_epochs": 3, "per_device_train_batch_size": 2, "bf16": False,
    "report_to": "none", "activation_checkpointing": False,
}  # fmt: skip


def base_of(family: str, folder: Path) -> Path:
    """A tiny base of `family` in `folder`, made once."""
    return folder if (folder / "config.json").is_file() else save_twin(FAMILIES[family], folder, Path("absent"))


def rows_of(n: int, subject: str = "the number") -> list[dict[str, str]]:
    """Clean rows, no two alike."""
    words = ["apple", "river", "stone", "cloud", "lamp", "horse", "garden", "window", "letter", "music"]
    return [
        {
            "instruction": f"Write one sentence about {words[i % 10]} and {words[(i // 10) % 10]}, {subject} {i}.",
            "output": f"A {words[i % 10]} of the year {1900 + i} stood near a {words[(i * 7 + i // 10) % 10]} in town "
            f"{i * 13}.",
        }
        for i in range(n)
    ]


def with_answers(*answers: str, n: int = 20, column: str = "output") -> list[dict[str, str]]:
    """`n` clean rows of which the first have `answers`."""
    return [{**row, column: answers[i]} if i < len(answers) else row for i, row in enumerate(rows_of(n))]


def recipe_of(folder: Path, base: Path, rows: Sequence[Row], held_out: Sequence[Row] = (), **keys: Any) -> Recipe:
    """A recipe for sft.py, or with `stage=Stage.DPO` for dpo.py, over `rows`; held-out rows are evaluated on."""
    stage = keys.pop("stage", Stage.SFT)
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    (data / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if held_out:
        (data / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held_out))
    where = {"dataset_name": str(data), "eval_strategy": "steps"} if held_out else {
        "dataset_name": str(data / "train.jsonl")
    }  # fmt: skip
    written = {"model_name_or_path": str(base), **where, **_KEYS, "output_dir": str(folder / "run"), **keys}
    (folder / "recipe.yaml").write_text(json.dumps({key: value for key, value in written.items() if value is not None}))
    kinds = [InstructionArguments, SFTConfig, ModelConfig]
    if stage is Stage.DPO:
        kinds = [PreferenceArguments, DPOConfig, ModelConfig]
    datasets.disable_progress_bars()
    with with_bfloat16():
        return parse_recipe(kinds, ["--config", str(folder / "recipe.yaml")])


def context_of(
    folder: Path, base: Path, rows: Sequence[Row], held_out: Sequence[Row] = (), **keys: Any
) -> CheckContext:
    """The opened case of `recipe_of`."""
    return opened(folder, base, rows, held_out, **keys)[0]


def opened(
    folder: Path, base: Path, rows: Sequence[Row], held_out: Sequence[Row] = (), **keys: Any
) -> tuple[CheckContext, list[Finding]]:
    """The opened case of `recipe_of`, and what the run itself would refuse."""
    stage = keys.get("stage", Stage.SFT)
    with with_bfloat16():
        return build_context(recipe_of(folder, base, rows, held_out, **keys), stage)


def findings_by_id(checks: Iterable[Check], context: CheckContext) -> dict[str, Finding]:
    """The findings of some checks, none of them with the id of another."""
    findings = [finding for check in checks for finding in check(context)]
    assert len({finding.id for finding in findings}) == len(findings)
    return {finding.id: finding for finding in findings}


def severities(findings: Mapping[str, Finding]) -> dict[str, Severity]:
    """The severity of each finding by its id."""
    return {name: finding.severity for name, finding in findings.items()}


def pairs_of(rows: Sequence[Mapping[str, str]], rejected: str = "No.") -> list[dict[str, str]]:
    """Preferences whose chosen answer is the row's."""
    return [{"prompt": row["instruction"], "chosen": row["output"], "rejected": rejected} for row in rows]


def pretraining_context(folder: Path, **keys: Any) -> CheckContext:
    """The context of a recipe for pretrain.py."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {"output_dir": str(folder / "run"), "report_to": "none", "bf16": False, **keys}
    (folder / "recipe.yaml").write_text(json.dumps(written, default=str))
    recipe = parse_recipe(ARGUMENTS[Stage.PRETRAIN], ["--config", str(folder / "recipe.yaml")])
    return build_context(recipe, Stage.PRETRAIN)[0]


def write_jsonl(path: Path, texts: Iterable[str]) -> Path:
    """A corpus with a row for each text."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def without_codes(line: str) -> str:
    """`line` without the doctor's own escape codes; others stay."""
    return re.sub(r"\x1b\[(?:0|1|2|1;31|1;33|1;36|4;32|1;4;32|1;7;31|9;31)m", "", line)
