"""The table of engines and tokenizer families: is what an engine serves the model that was trained?

    python -m tests.benchmarks.served_models --environments build/engines --output build/served-models
    python -m tests.benchmarks.served_models --engine llama.cpp --family stories260K ...

For each family a small model is trained and merged with this project's programs, each engine serves it in float32, and
check_served.py compares: tokens (of 200 texts), template and greedy answers (of 35 prompts), where answers end, and the
largest difference of a log-probability. An engine that does not load a model says why: by its config before any work
where the reason is known (`pipelines/merging/engine_limits.py`), else in its own words. Engines other than llama.cpp
and transformers get an environment of their own in --environments, with pinned versions.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.files import read_json
from pipelines.merging.engine_limits import refusals
from tests.benchmarks.served_models.engines import NAMES, ON_A_CPU, serving
from tests.benchmarks.served_models.families import FAMILIES, dataset, made
from tests.conftest import PROJECT

COLUMNS = ("engine", "family", "loads", "tokens", "template", "prompt tokens", "greedy", "stop", "largest difference")
_CHECKS = {
    "tokens": ("tokens of texts", "numbers of tokens of texts"), "template": ("prompts as rendered",),
    "prompt tokens": ("prompt tokens",), "greedy": ("greedy answers",), "stop": ("and their ends",),
}  # fmt: skip


def cell(engine: str, family: str, environments: Path, output: Path) -> dict[str, Any]:
    """One line of the table: what check_served.py found, or why the engine does not load the model."""
    line = {"engine": engine, "family": family}
    merged = made(family, output)
    if reason := refusals(read_json(merged / "config.json")).get(ON_A_CPU.get(engine, engine)):
        return {**line, "loads": f"no: {reason}"}
    try:
        with serving(engine, merged, environments) as url:
            record = checked(url, merged, dataset(output), merged.parent / f"{engine.replace(' ', '-')}.json")
    except UserError as error:
        return {**line, "loads": f"no: {error.problem}"}
    return {**line, "loads": "yes", **figures(record)}


def checked(url: str, merged: Path, rows: Path, output: Path) -> Mapping[str, Any]:
    """The record of check_served.py, or its error."""
    output.unlink(missing_ok=True)
    command = [sys.executable, PROJECT / "pipelines" / "check_served.py", "--url", url, "--run", merged]
    done = subprocess.run(
        [*command, "--prompts", rows, "--output", output], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if not output.is_file():
        raise UserError(f"check_served.py: {(done.stderr.strip().splitlines() or ['no message'])[-1]}", "see there")
    record: Mapping[str, Any] = json.loads(output.read_text())
    return record


def figures(record: Mapping[str, Any]) -> dict[str, str]:
    """The columns that a record fills; "-" for what the engine does not tell."""
    by_name = {check["name"]: f"{check['n_equal']}/{check['n']}" for check in record["checks"]}
    found = {
        column: next((by_name[name] for name in names if name in by_name), "-") for column, names in _CHECKS.items()
    }
    if record["n_ties"]:
        found["greedy"] += f" (+{record['n_ties']} ties)"
    divergence = record["divergence"]
    found["largest difference"] = "-" if divergence is None else f"{divergence['max_difference']:.1e}"
    if record["findings"]:
        found["largest difference"] += " " + ", ".join(one["cause"] for one in record["findings"])
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table line by line, and write table.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", action="append", choices=NAMES, help="repeatable; default: all")
    parser.add_argument("--family", action="append", choices=FAMILIES, help="repeatable; default: all that are here")
    parser.add_argument("--environments", type=Path, required=True, help="folder of the engines' environments")
    parser.add_argument("--output", type=Path, required=True, help="folder of the models and of table.json")
    flags = parser.parse_args(arguments)
    families = flags.family or [name for name, family in FAMILIES.items() if family.is_here]
    output = flags.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    lines = []
    for family in families:
        for engine in flags.engine or NAMES:
            line = cell(engine, family, flags.environments.resolve(), output)
            print("| " + " | ".join(line.get(column, "") for column in COLUMNS) + " |", flush=True)
            lines.append(line)
            (output / "table.json").write_text(json.dumps(lines, indent=1))


if __name__ == "__main__":
    main()
