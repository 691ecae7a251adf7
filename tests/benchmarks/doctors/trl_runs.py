"""`trl sft` with the pairs of tests/planted_faults, as its user would write them, and how its words are read."""

import json
import multiprocessing
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from trl import DatasetMixtureConfig, ScriptArguments
from trl.chat_template_utils import llama3_training_chat_template

from pipelines.recipe.arguments import InstructionArguments
from tests.planted_faults.families import Family
from tests.planted_faults.pair import Pair, Row, recipe_keys

_GPT2_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}{{- 'Assistant: ' + message['content'] + eos_token + '\\n' -}}"
    "{%- else -%}{{- message['role'] | capitalize + ': ' + message['content'] + '\\n' -}}{%- endif -%}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- 'Assistant: ' -}}{%- endif -%}"
)
# What a user of TRL adds for each family, which this project finds by itself.
_TEMPLATES = {Family.GPT2: _GPT2_TEMPLATE, Family.LLAMA3: llama3_training_chat_template}
_END_TOKENS = {Family.CHATML: "<|im_end|>", Family.LLAMA3: "<|eot_id|>"}
_PACE = {"max_steps": 2, "logging_steps": 1, "use_cpu": True, "disable_tqdm": True, "eval_steps": None}
_OWN_KEYS = {one.name for one in fields(InstructionArguments)} - {
    one.name for kind in (ScriptArguments, DatasetMixtureConfig) for one in fields(kind)
}  # fmt: skip
_SECONDS = 300
_N_SHOWN = 200  # characters of what was said
_PATH = re.compile(r"/[^\s'\"]+")  # folders are called by their faults
_NOISE = re.compile(r"^\s*$|it/s|^\{'|examples/s|Materializing param|Writing model shards|^\s+\^+$|^\s*warnings\.warn")


@dataclass(frozen=True)
class Outcome:
    """How a run of `trl sft` ended, and the lines that it wrote, progress left out."""

    exit_code: int
    lines: tuple[str, ...]


def verdict(outcome: Outcome, control: Outcome, pattern: str | None) -> tuple[str, str]:
    """caught, warned, silent or stopped, and the line that says so."""
    known = {without_figures(line) for line in control.lines}
    fresh = [line for line in outcome.lines if without_figures(line) not in known]
    naming = [line for line in fresh if pattern and re.search(pattern, _PATH.sub("", line))]
    if outcome.exit_code:
        return ("caught", shown(naming[-1])) if naming else ("stopped", shown((fresh or ["without a word"])[-1]))
    return ("warned", shown(naming[0])) if naming else ("silent", "")


def run_trl(pair: Pair, family: Family, base: Path, folder: Path, *, aligns: bool = True) -> Outcome:
    """TRL's script for SFT with the pair, as a user starts it with --config; a fork of one process that has TRL."""
    if (folder / "outcome.json").is_file():
        kept_outcome = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
        return Outcome(kept_outcome["exit_code"], tuple(kept_outcome["lines"]))
    recipe = write_trl_recipe(pair, family, base, folder, aligns=aligns)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["trl.scripts.sft", "trl.trainer.sft_trainer", "tests.benchmarks.doctor_against_trl"]
    )
    began, process = time.monotonic(), context.Process(target=_train, args=(recipe, folder))
    process.start()
    process.join(_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
    exit_code, text = process.exitcode or 0, (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
    (folder / "log.txt").write_text(f"{text}\nexit code {exit_code} in {time.monotonic() - began:.0f} s\n")
    said = [line.strip() for line in re.split(r"[\r\n]", text)]
    outcome = Outcome(exit_code, tuple(line for line in said if not _NOISE.search(line)))
    (folder / "outcome.json").write_text(json.dumps(asdict(outcome), indent=1), encoding="utf-8")
    return outcome


def _train(recipe: Path, folder: Path) -> None:
    """In the fork: TRL's script, with everything that it prints in log.txt."""
    with (folder / "log.txt").open("w") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        os.environ.pop(name, None)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.chdir(folder)
    sys.argv = ["sft.py", "--config", str(recipe)]
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    from trl.scripts import sft

    sft.main(*sft.make_parser().parse_args_and_config(fail_with_unknown_args=True))


def write_trl_recipe(pair: Pair, family: Family, base: Path, folder: Path, *, aligns: bool = True) -> Path:
    """Rows and recipe in TRL's own form, in `folder`; without the family's end token if it does not `aligns`."""
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was interrupted
    folder.mkdir(parents=True)
    data = folder / "rows"
    data.mkdir()
    for split, rows in splits(pair).items():
        write_rows(data / f"{split}.jsonl", map(trl_row, rows))
    added: dict[str, Any] = {
        "dataset_name": str(data),
        "dataset_test_split": "validation",
        "output_dir": str(folder / "run"),
    }
    if pair.template is None and family in _TEMPLATES:
        (folder / "family.jinja").write_text(_TEMPLATES[family], encoding="utf-8")
        added["chat_template_path"] = str(folder / "family.jinja")
    end = _END_TOKENS.get(family)
    if aligns and end is not None and end in (pair.template or end):
        added["eos_token"] = end
    keys = {**recipe_keys(pair, folder, base), **added, **_PACE, **_written_by(pair)}
    keys = {key: value for key, value in keys.items() if value is not None and key not in _OWN_KEYS}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(keys, sort_keys=False), encoding="utf-8")
    return folder / "recipe.yaml"


def splits(pair: Pair) -> dict[str, Sequence[Row]]:
    """The rows by split, without splits that have none."""
    n_held_out = round(len(pair.rows) * (pair.folder_share or 0))
    splits = {"train": pair.rows[n_held_out:], "validation": [*pair.held_out, *pair.rows[:n_held_out]]}
    return {split: rows for split, rows in splits.items() if rows}


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows), encoding="utf-8")


def trl_row(row: Row) -> Row:
    """Instruction, input and output as TRL's conversational prompt and completion; other rows as they are."""
    if "instruction" not in row:
        return row
    asked = f"{row['instruction']}\n\n{row['input']}" if row.get("input") else row["instruction"]
    others = {key: value for key, value in row.items() if key not in ("instruction", "input", "output")}
    return {
        "prompt": [{"role": "user", "content": asked}],
        "completion": [{"role": "assistant", "content": row["output"]}],
        **others,
    }


def _written_by(pair: Pair) -> Mapping[str, Any]:
    """The pair's own keys, but for the pace."""
    return {key: value for key, value in pair.keys.items() if key not in _PACE}


def shown(line: str) -> str:
    """A line without where the packages are installed."""
    return re.sub(r"\S*/site-packages/", "", line)[:_N_SHOWN]


def without_figures(line: str) -> str:
    """A line without its numbers and paths, to know it again in another run."""
    return re.sub(r"\d+", "", _PATH.sub("", line))
