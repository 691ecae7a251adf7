"""Each planted fault before this project's doctor and before `trl sft`: which of them says something about it?

    python -m tests.benchmarks.doctor_against_trl --output build/doctor-against-trl

    python -m tests.benchmarks.doctor_against_trl --output build/two-faults --only END_TOKEN_MISMATCH --only MOJIBAKE

TRL gets what its user would give it: the same base, template and rows, the same keys without this project's own, and
two steps on the CPU. Rows of instruction and output become its conversational prompt and completion, chats and texts
stay as they are. A base without a template gets one, and each family the end token of its template, so that the pair
without a fault trains without a warning about it (the controls, which are run first, show that; what they say already
is nobody's word about a fault). `caught` is an end with a message about the fault, `warned` a line that names it,
`silent` a run that finished without a word, `stopped` an end with a message about something else. Out: table.md,
table.json, and in runs/ every recipe with what was said. About 20 seconds for each fault; a run that is there already
is not made again.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from trl import DatasetMixtureConfig, ScriptArguments
from trl.chat_template_utils import llama3_training_chat_template

from pipelines.recipe.arguments import InstructionArguments
from tests.planted_faults.examined import examined, without_hub_token
from tests.planted_faults.families import Family, save_base
from tests.planted_faults.faults import FAULTS, PlantedFault
from tests.planted_faults.pair import Pair, Row, recipe_keys, write_pair
from tests.planted_faults.sample_rows import rows_in

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
class Line:
    """One line of the table."""

    fault: str
    name: str
    family: str
    doctor: str
    trl: str
    said: str


@dataclass(frozen=True)
class Outcome:
    """How a run of `trl sft` ended, and the lines that it wrote, progress left out."""

    exit_code: int
    lines: tuple[str, ...]


def main() -> None:
    """Run all faults, or those of --only, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=lambda name: Path(name).resolve(), required=True)  # TRL runs elsewhere
    parser.add_argument("--only", action="append", help="an id; may be given several times")
    flags = parser.parse_args()
    chosen = [fault for fault in FAULTS if not flags.only or fault.id in flags.only]
    flags.output.mkdir(parents=True, exist_ok=True)
    bases = {family: _base(family, flags.output / "bases" / family) for family in Family}
    controls = {
        family: run_trl(Pair(rows_in("english")), family, bases[family], flags.output / "runs" / f"control-{family}")
        for family in sorted({fault.family for fault in chosen if fault.trl_cannot is None})
    }
    failed = [family for family, outcome in controls.items() if outcome.exit_code]
    if failed:
        raise SystemExit(f"trl sft does not train the pair without a fault: {', '.join(failed)}")
    lines = []
    for fault in chosen:
        folder = flags.output / "runs" / f"{FAULTS.index(fault):02}-{fault.id.lower()}"
        lines.append(_line(fault, bases[fault.family], folder, controls.get(fault.family)))
        print(" | ".join(asdict(lines[-1]).values()), flush=True)
    (flags.output / "table.json").write_text(json.dumps([asdict(line) for line in lines], indent=1, ensure_ascii=True))
    (flags.output / "table.md").write_text(table(lines), encoding="utf-8")
    print(table(lines))


def table(lines: Iterable[Line]) -> str:
    """The lines in Markdown, and the sums below."""
    lines = list(lines)
    rows = ["| fault | planted | family | this doctor | `trl sft` | what it said |", "|---|---|---|---|---|---|"]
    rows += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in asdict(line).values())} |" for line in lines]
    verdicts = [line.trl for line in lines]
    sums = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    n_caught = sum(not line.doctor.startswith("missed") for line in lines)
    return "\n".join([*rows, "", f"This doctor: {n_caught} of {len(lines)}. `trl sft`: {sums}.", ""])


def _line(fault: PlantedFault, base: Path, folder: Path, control: Outcome | None) -> Line:
    pair = fault.pair()
    shutil.rmtree(folder / "doctor", ignore_errors=True)
    recipe = write_pair(pair, folder / "doctor", base)
    with without_hub_token():
        findings = examined(recipe, pair.stage)
    found = next((one for one in findings if one.id == fault.id), None)
    doctor = f"missed {fault.id}" if found is None else found.severity.value
    if fault.trl_cannot is not None or control is None:
        return Line(fault.id, fault.name, fault.family.value, doctor, "not applicable", str(fault.trl_cannot))
    outcome = run_trl(pair, fault.family, base, folder / "trl")
    return Line(fault.id, fault.name, fault.family.value, doctor, *verdict(outcome, control, fault.trl_says))


def verdict(outcome: Outcome, control: Outcome, pattern: str | None) -> tuple[str, str]:
    """caught, warned, silent or stopped, and the line that says so."""
    known = {_without_figures(line) for line in control.lines}
    fresh = [line for line in outcome.lines if _without_figures(line) not in known]
    naming = [line for line in fresh if pattern and re.search(pattern, _PATH.sub("", line))]
    if outcome.exit_code:
        return ("caught", _shown(naming[-1])) if naming else ("stopped", _shown((fresh or ["without a word"])[-1]))
    return ("warned", _shown(naming[0])) if naming else ("silent", "")


def run_trl(pair: Pair, family: Family, base: Path, folder: Path) -> Outcome:
    """`trl sft --config` with the pair, as a user types it."""
    if (folder / "outcome.json").is_file():
        kept_outcome = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
        return Outcome(kept_outcome["exit_code"], tuple(kept_outcome["lines"]))
    recipe = write_trl_recipe(pair, family, base, folder)
    command = [str(Path(sys.executable).parent / "trl"), "sft", "--config", str(recipe)]
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "HF_DATASETS_CACHE": str(folder / "cache")}
    kept = {name: value for name, value in os.environ.items() if name not in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")}
    began = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_SECONDS, env={**kept, **offline}, cwd=folder
    )
    text = f"{done.stdout}\n{done.stderr}"
    (folder / "log.txt").write_text(f"{text}\nexit code {done.returncode} in {time.monotonic() - began:.0f} s\n")
    said = [line.strip() for line in re.split(r"[\r\n]", text)]
    outcome = Outcome(done.returncode, tuple(line for line in said if not _NOISE.search(line)))
    (folder / "outcome.json").write_text(json.dumps(asdict(outcome), indent=1), encoding="utf-8")
    return outcome


def write_trl_recipe(pair: Pair, family: Family, base: Path, folder: Path) -> Path:
    """Rows and recipe in TRL's own form, in `folder`."""
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was interrupted
    folder.mkdir(parents=True)
    data = folder / "rows"
    data.mkdir()
    splits = {"train": pair.rows, "validation": pair.held_out}
    if pair.folder_share is not None:
        n_held_out = round(len(pair.rows) * pair.folder_share)
        splits = {"train": pair.rows[n_held_out:], "validation": pair.rows[:n_held_out]}
    for split, rows in splits.items():
        if rows:
            text = "".join(json.dumps(trl_row(row), ensure_ascii=True) + "\n" for row in rows)
            (data / f"{split}.jsonl").write_text(text, encoding="utf-8")
    added: dict[str, Any] = {
        "dataset_name": str(data),
        "dataset_test_split": "validation",
        "output_dir": str(folder / "run"),
    }
    if pair.template is None and family in _TEMPLATES:
        (folder / "family.jinja").write_text(_TEMPLATES[family], encoding="utf-8")
        added["chat_template_path"] = str(folder / "family.jinja")
    end = _END_TOKENS.get(family)
    if end is not None and end in (pair.template or end):
        added["eos_token"] = end
    keys = {**recipe_keys(pair, folder, base), **added, **_PACE, **_written_by(pair)}
    keys = {key: value for key, value in keys.items() if value is not None and key not in _OWN_KEYS}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(keys, sort_keys=False), encoding="utf-8")
    return folder / "recipe.yaml"


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


def _base(family: Family, folder: Path) -> Path:
    return folder if (folder / "config.json").is_file() else save_base(family, folder)


def _shown(line: str) -> str:
    """A line without where the packages are installed."""
    return re.sub(r"\S*/site-packages/", "", line)[:_N_SHOWN]


def _without_figures(line: str) -> str:
    """A line without its numbers and paths, to know it again in another run."""
    return re.sub(r"\d+", "", _PATH.sub("", line))


if __name__ == "__main__":
    main()
