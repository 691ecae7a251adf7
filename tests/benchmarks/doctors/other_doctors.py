"""peft-doctor and soup-cli's data doctor, each in an environment of its own, on the pairs of tests/planted_faults.

Both get what they read of a recipe: the base, the rows as they are, and the keys that they have flags for. Their Python
is started once and calls their command line in it, pair after pair.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.preflight.check_context import Stage
from tests.benchmarks.doctors.trl_runs import shown, without_figures

_SECONDS = 1800
_QUIET = {"HF_HUB_OFFLINE": "1", "SOUP_NO_AUDIT_LOG": "1", "COLUMNS": "200"}
_CALLS = """
import contextlib, importlib, io, json, sys
jobs = json.load(sys.stdin)
module, _, name = jobs["app"].partition(":")
app = getattr(importlib.import_module(module), name)
said = []
for arguments in jobs["calls"]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        try:
            app(arguments, standalone_mode=False)
        except (Exception, SystemExit) as error:
            out.write(f"ended: {type(error).__name__}: {error}")
    said.append(out.getvalue())
json.dump(said, sys.__stdout__)
"""


@dataclass(frozen=True)
class Case:
    """One pair as files: the folder with its rows, its base, and the keys of its recipe."""

    folder: Path
    stage: Stage
    keys: Mapping[str, Any]

    @property
    def rows(self) -> Path:
        """The training rows in a file."""
        return self.folder / "train.jsonl"


@dataclass(frozen=True)
class OtherDoctor:
    """A doctor's name, its command line as module:app, the arguments for a case, and the alarms in what it printed."""

    name: str
    app: str
    arguments: Callable[[Case], list[str]]
    alarms: Callable[[Case, str], list[str]]

    def alarms_about(self, python: Path, cases: Sequence[Case]) -> list[list[str]]:
        """The alarms about each case, of the installation that `python` belongs to."""
        jobs = {"app": self.app, "calls": [self.arguments(case) for case in cases]}
        done = subprocess.run([str(python), "-c", _CALLS], input=json.dumps(jobs), capture_output=True, text=True,
                              timeout=_SECONDS, cwd=cases[0].folder.parent, env={**os.environ, **_QUIET})  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{self.name} did not run: {done.stderr[-500:]}")
        printed = json.loads(done.stdout.splitlines()[-1])
        return [self.alarms(case, text) for case, text in zip(cases, printed, strict=True)]


# What their alarms call a fault, read by eye; else the words that are looked for in TRL's output.
NAMES = {
    "LONGER_THAN_POSITIONS": "sequence_exceeds_context", "LEARNING_RATE_UNUSUAL": "training.lr_",
    "TRAIN_EVAL_OVERLAP": "train_eval_overlap", "BROKEN_CHARACTERS": "bad_text_artifacts",
    "PACKING_CONTAMINATES": "packing_without_eos", "LENGTH_BIAS": "length_bias", "PAIRS_ALIKE": "identical_pairs",
    "EMPTY_ANSWERS": "short_responses|empty_", "ROWS_DROPPED": "truncation_risk|short_responses",
}  # fmt: skip


def said_of(fault_id: str, words: str | None, alarms: Sequence[str], known: Sequence[str]) -> tuple[str, str]:
    """warned if an alarm that the pair without a fault lacks names the fault, other for another one, else silent."""
    usual = set(map(without_figures, known))
    fresh = [alarm for alarm in alarms if without_figures(alarm) not in usual]
    patterns = [one for one in (NAMES.get(fault_id), words) if one]
    naming = [alarm for alarm in fresh if any(re.search(pattern, alarm) for pattern in patterns)]
    return ("warned", shown(naming[0])) if naming else ("other", shown(fresh[0])) if fresh else ("silent", "")


_FLAGS = {
    "per_device_train_batch_size": "--batch-size", "gradient_accumulation_steps": "--grad-accum",
    "max_length": "--sequence-length", "learning_rate": "--learning-rate", "optim": "--optim",
    "warmup_steps": "--warmup-steps", "lr_scheduler_type": "--lr-scheduler-type", "save_steps": "--save-steps",
    "save_total_limit": "--save-total-limit", "seed": "--seed", "max_grad_norm": "--max-grad-norm",
    "attn_implementation": "--attn-implementation", "logging_steps": "--logging-steps",
}  # fmt: skip
_SWITCHES = {
    "packing": "--packing", "completion_only_loss": "--completion-only-loss", "bf16": "--bf16", "fp16": "--fp16",
    "assistant_only_loss": "--assistant-only-loss", "load_in_4bit": "--load-in-4bit",
}  # fmt: skip


def _peft_doctor_arguments(case: Case) -> list[str]:
    keys = case.keys
    said = ["check", "--model", str(keys["model_name_or_path"]), "--dataset", str(case.rows), "--output", "json"]
    held_out = case.folder / "validation.jsonl"
    said += ["--eval-dataset", str(held_out)] if held_out.is_file() else []
    for key, flag in _FLAGS.items():
        if key == "warmup_steps" and 0 < float(keys.get(key, 0)) < 1:
            flag = "--warmup-ratio"
        said += [flag, str(keys[key])] if key in keys else []
    said += [flag for key, flag in _SWITCHES.items() if keys.get(key) is True]
    return [*said, "--no-gradient-checkpointing", "--local-files-only"]


def _peft_doctor_alarms(_: Case, printed: str) -> list[str]:
    begin = printed.find("{")
    if begin < 0:
        return [printed.strip()[-300:]]
    issues = json.JSONDecoder().raw_decode(printed[begin:])[0]["issues"]
    alarms = [one for one in issues if one["severity"] in ("warning", "error")]
    return [f"{one['severity']} {one['code']}: {one['title']}. {one['message']}" for one in alarms]


def _soup_arguments(case: Case) -> list[str]:
    report = ["--output", str(case.folder / "soup.json")]
    model = ["--model", str(case.keys["model_name_or_path"])]
    if case.stage is Stage.DPO:
        return ["--no-telemetry", "data", "lint", str(case.rows), *model, *report]
    length = ["--max-length", str(case.keys.get("max_length", 1024))]
    return ["--no-telemetry", "data", "doctor", str(case.rows), *model, *length, "--train-on-eot", *report]


def _soup_alarms(case: Case, printed: str) -> list[str]:
    report = case.folder / "soup.json"
    if not report.is_file():
        return [" ".join(printed.split())[-300:]]
    checks = json.loads(report.read_text(encoding="utf-8"))["checks"]
    return [f"{one['name']}: {one['message']}" for one in checks if one["verdict"] not in ("OK", "INFO", "SKIP")]


PEFT_DOCTOR = OtherDoctor("peft-doctor", "peft_doctor.cli:app", _peft_doctor_arguments, _peft_doctor_alarms)
SOUP = OtherDoctor("soup-cli", "soup_cli.cli:app", _soup_arguments, _soup_alarms)
