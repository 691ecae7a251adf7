"""What was run, as titled lists of (name, value): comparison, training, recipe, ledger, lock, versions, machine."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.files.visible_text import excerpt, visible
from pipelines.hub.local_paths import last_part
from pipelines.report.comparison_record import Comparison, Model
from pipelines.report.figures import bytes_text, duration_text
from pipelines.report.reading import Records
from pipelines.report.served import served_line


@dataclass(frozen=True)
class Facts:
    """A titled list; `is_long` lists are folded away on the page."""

    title: str
    pairs: tuple[tuple[str, str], ...]
    is_long: bool = False


# Shown first; the whole recipe follows, folded.
_FIRST_KEYS = (
    "model_name_or_path", "dataset_name", "num_train_epochs", "max_steps", "per_device_train_batch_size",
    "gradient_accumulation_steps", "learning_rate", "lr_scheduler_type", "optim", "warmup_steps", "weight_decay",
    "max_length", "packing", "completion_only_loss", "assistant_only_loss", "use_peft", "lora_r", "lora_alpha",
    "lora_dropout", "lora_target_modules", "bf16", "seed", "data_seed",
)  # fmt: skip

# the sets that were measured besides the prompts, as details of comparison.json name them
_DETAIL_SETS = {"general": "general text", "capability": "capability set", "training_rows": "training rows"}

# what run.json pins, where the run has no lock of its own
_PINNED = ("base", "dataset", "template_sha256", "git_commit", "seeds", "versions")
_REPEATED = ("kind", "version", "recipe")  # of a lock

MAX_EXAMPLE_CHARACTERS = 300  # of an example before the prompts of the few-shot base
_HASH_CHARACTERS = 12  # enough to tell two apart by eye; the records have the whole


def all_facts(records: Records) -> list[Facts]:
    """Every list that the records have something for, in reading order."""
    run, comparison = records.run or {}, records.comparison
    recipe = run.get("recipe") or {}
    first = {key: recipe[key] for key in _FIRST_KEYS if recipe.get(key) is not None}
    lists = [
        Facts("Comparison", tuple(_comparison_pairs(comparison))),
        Facts("Few-shot base", tuple(_few_shot_pairs(comparison.record.get("few_shot") or {}))),
        Facts("How code was run", tuple(flat_pairs(comparison.record.get("run_code") or {}))),
        Facts("Training", tuple(_training_pairs(run))),
        Facts("Served model", tuple(_served_pairs(records.served))),
        Facts("Recipe", tuple(flat_pairs(first))),
        Facts("What happened to the training rows", tuple(ledger_pairs(records.ledger or {}))),
        Facts("Versions", tuple(_version_pairs(comparison.record["versions"], run.get("versions") or {}))),
        *_machines(comparison.record["machine"], run.get("machine") or {}),
        Facts(f"Whole recipe ({len(recipe)} keys)", tuple(flat_pairs(recipe)), is_long=True),
        Facts(
            "Lock (lock.json)" if records.lock else "Lock (from run.json)",
            tuple(flat_pairs(pinned(records.lock, records.run), whole_hashes=True)),
            is_long=True,
        ),
    ]
    return [facts for facts in lists if facts.pairs]


def flat_pairs(record: Any, prefix: str = "", *, whole_hashes: bool = False) -> Iterator[tuple[str, str]]:
    """(dotted key, value as text) of a nested record; seconds_… and …_bytes are written with units, hashes cut.

    The entries of a list of records are numbered from 0, so that each of their keys has a line.
    """
    if isinstance(record, list) and record and all(isinstance(one, Mapping) for one in record):
        record = dict(enumerate(record))
    if not isinstance(record, Mapping):
        is_whole = whole_hashes and isinstance(record, str)
        yield prefix, visible(record) if is_whole else _text(prefix, record)
        return
    for key, value in record.items():
        name = visible(str(key))
        yield from flat_pairs(value, f"{prefix}.{name}" if prefix else name, whole_hashes=whole_hashes)


def _comparison_pairs(comparison: Comparison) -> Iterator[tuple[str, str]]:
    record = comparison.record
    yield "made", _text("created", record["created"]).replace("T", " ").replace("+00:00", " UTC")
    yield from flat_pairs(record["prompts"], "prompts")
    for model in comparison.models:
        fingerprint = _text("fingerprint", model.fingerprint)
        yield model.name, visible(f"{model.path} ({model.prompt_style} prompt, fingerprint {fingerprint})")
    details = record.get("details") or {}
    for key, name in _DETAIL_SETS.items():
        yield from flat_pairs(details.get(key) or {}, name)
    yield from flat_pairs(record["decoding"])
    if record.get("n_processes") is not None:
        yield "n_processes", _text("n_processes", record["n_processes"])
    for phase, seconds in (record.get("seconds") or {}).items():
        yield f"time: {visible(phase)}", duration_text(seconds)


def _served_pairs(record: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """What check_served.py found."""
    if record is not None:
        yield "result", served_line(record)
        yield from ((finding["cause"], visible(finding["observed"])) for finding in record["findings"])


def model_facts(records: Records) -> list[tuple[str, str]]:
    """(name in the record, description): folder or Hub id, the base of an adapter, and the kind of prompt."""
    run, template = records.run or {}, (records.run or {}).get("template_sha256")
    few_shot = records.comparison.record.get("few_shot") or {}
    templates = records.comparison.record["prompts"].get("template_sha256") or {}
    facts = []
    for number, model in enumerate(records.comparison.models):
        is_of_run = records.run is not None and number == records.comparison.n_baselines
        words = [real_name(model.path), *([] if model.step is None else [f"after step {model.step:,} of its run"])]
        if is_of_run and (run.get("recipe") or {}).get("use_peft"):
            words.append(f"an adapter on {real_name(str((run.get('base') or {}).get('path')))}")
        sha256 = templates.get(model.name) or (template if is_of_run else None)
        words.append(_style(model, str(sha256 or "")))
        if model.name == few_shot.get("name"):
            n = few_shot["n_examples"]
            words.append(f"after {n:,} example{'' if n == 1 else 's'}")
        facts.append((model.name, visible(", ".join(words))))
    if few_shot.get("why_not"):
        facts.append(("few-shot base", visible(f"none: {few_shot['why_not']}")))
    return facts


def _few_shot_pairs(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The examples before each prompt of the few-shot base."""
    for key in ("why_not", "n_examples", "source"):
        if record.get(key) is not None:
            yield key, _text(key, record[key])
    for one in record.get("examples") or ():
        yield f"example {one['id']}", excerpt(str(one["text"]), MAX_EXAMPLE_CHARACTERS).text


def _style(model: Model, template: str) -> str:
    if model.prompt_style != "chat":
        return f"{model.prompt_style} prompts"
    return "prompts in its chat template" + (f" (sha256 {_text('sha256', template)})" if template else "")


def real_name(path: str) -> str:
    """A Hub id as it is, or the last part of a local folder; of a checkpoint, with its run."""
    is_local = Path(path).is_absolute() or path.count("/") > 1 or path.startswith(".")
    return last_part(path) if is_local else path


_RUN_KEYS = (
    "program", "base", "dataset", "template_sha256", "git_commit", "seeds", "seconds_wall", "n_tokens",
    "tokens_per_second", "peak_memory_bytes",
)  # fmt: skip


def _training_pairs(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    status = run.get("status")
    if status is not None:
        yield "status", "finished" if status == "finished" else f"{visible(str(status))} (no record that it finished)"
    for key in _RUN_KEYS:
        if run.get(key) is not None:
            yield from flat_pairs(run[key], key)
    yield from flat_pairs(run.get("metrics") or {}, "")


def ledger_pairs(ledger: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(what became of rows, how many of them), then how many for each reason."""
    for key, value in ledger.items():
        if isinstance(value, int):  # the list of single rows stays in ledger.json
            yield key.removeprefix("n_").replace("_", " "), f"{value:,}"
    for reason, n_rows in (ledger.get("reasons") or {}).items():
        yield f"reason: {visible(str(reason))}", f"{n_rows:,}"


def pinned(lock: Mapping[str, Any] | None, run: Mapping[str, Any] | None) -> dict[str, Any]:
    """What reproduces the model: the lock without its recipe, diff and loss curve; without a lock the keys of
    run.json."""
    if lock is None:
        return {key: value for key, value in (run or {}).items() if key in _PINNED and value}
    found = {key: value for key, value in lock.items() if key not in _REPEATED}
    for key, left_out in (("git", "diff"), ("result", "loss_curve")):
        if isinstance(found.get(key), Mapping):
            found[key] = {name: one for name, one in found[key].items() if name != left_out}
    return found


def _version_pairs(compared: Mapping[str, Any], trained: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for package in {**compared, **trained}:
        now, then = compared.get(package), trained.get(package)
        same = not trained or now == then
        yield visible(package), visible(f"{now}" if same else f"{now or 'absent'} (training: {then or 'absent'})")


def _machines(compared: Mapping[str, Any], trained: Mapping[str, Any]) -> list[Facts]:
    if compared == trained:
        return [Facts("Machine of the comparison and of the training", tuple(flat_pairs(compared)))]
    pairs = {"Machine of the comparison": compared, "Machine of the training": trained}
    return [Facts(title, tuple(flat_pairs(machine))) for title, machine in pairs.items()]


def _text(key: str, value: Any) -> str:
    name = key.rsplit(".", 1)[-1]
    if isinstance(value, str) and name.endswith(("sha256", "fingerprint")):
        return visible(value[:_HASH_CHARACTERS]) + ("…" if len(value) > _HASH_CHARACTERS else "")
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and name.startswith("seconds_"):
        return duration_text(value)
    if is_number and name.endswith("_bytes"):
        return bytes_text(value)
    if is_number and name.startswith("n_"):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None or value == []:
        return "none"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return visible(", ".join(value))
    return visible(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def short_facts(records: Records) -> list[tuple[str, str]]:
    """The facts for a pull request: models, prompts, training and code."""
    record, run = records.comparison.record, records.run or {}
    prompts = record["prompts"]
    versions = {name: record["versions"].get(name) for name in ("torch", "transformers", "trl", "peft")}
    return [
        ("made", _text("created", record["created"])),
        *(
            (one.name, f"{visible(one.path)}, {_text('fingerprint', one.fingerprint)}")
            for one in records.comparison.models
        ),
        *((f"prompts: {key}", _text(key, prompts[key])) for key in ("path", "split", "sha256") if key in prompts),
        *flat_pairs({key: run[key] for key in ("git_commit", "seeds", "template_sha256") if run.get(key)}),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)),
    ]
