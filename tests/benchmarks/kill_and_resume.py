"""Runs of ten kinds, killed by SIGKILL at random moments and resumed, compared to the bit with straight ones.

    python -m tests.benchmarks.kill_and_resume [--kills 40] [--seed 0] [--output FOLDER]

Each kind is trained straight once, in as long as it takes. Each kill is of a new run of the kind: the first kill of a
kind comes while a checkpoint is written (its folder is there, checkpoint.json is not), the others at a random moment
between run.json and the end. The killed run is resumed to its end, and its folder compared with the straight one: every
file, log and count, times left out. A run is a process forked from this one, which has imported the libraries.
Exit code 1 if anything differs.
"""

import argparse
import importlib
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.records.checkpoint import CHECKPOINT_NAME, step_of
from pipelines.reproduction.equal_runs import compare_runs
from tests.run_files import record_of
from tests.training.resumed_kinds import KINDS
from tests.training.sft_runs import bare_base

_N_STEPS = 16
_N_TRIES = 40  # a moment at which the run has ended already is drawn again
_MAX_SECONDS = 300


@dataclass(frozen=True)
class Kill:
    """One kill, and what came of it: `step` is that of the checkpoint that the run continued from."""

    kind: str
    in_checkpoint: bool
    step: int
    n_equal: int
    differences: tuple[str, ...]


@dataclass(frozen=True)
class Runs:
    """Runs of one kind, straight in `seconds`, counted from run.json."""

    kind: str
    folder: Path
    recipe: Path
    seconds: float

    @classmethod
    def of(cls, kind: str, folder: Path, base: Path) -> "Runs":
        """Write the recipe of `kind` and run it straight."""
        folder.mkdir()
        recipe = KINDS[kind].write_recipe(folder / "recipe.json", base, max_steps=_N_STEPS)
        process = _Process(kind, recipe, folder / "straight")
        process.wait_for(lambda: (folder / "straight" / "run.json").is_file())
        began = time.monotonic()
        process.finish()
        return cls(kind, folder, recipe, time.monotonic() - began)

    def killed_and_resumed(self, name: str, draw: random.Random, *, in_checkpoint: bool) -> Kill:
        """Kill a run at a random moment, resume it, compare it."""
        for attempt in range(_N_TRIES):
            folder = self.folder / f"{name}.{attempt}"
            if self._killed(folder, draw, in_checkpoint=in_checkpoint):
                break
        else:
            raise RuntimeError(f"{self.kind}: no run was killed in time")
        _Process(self.kind, self.recipe, folder, "--resume").finish()
        found = compare_runs(self.folder / "straight", folder)
        step = record_of(folder)["legs"][1]["first_step"]
        return Kill(self.kind, in_checkpoint, step, found.n_equal, found.differences)

    def _killed(self, folder: Path, draw: random.Random, *, in_checkpoint: bool) -> bool:
        """Whether the process was killed where it should, in an unfinished run."""
        process = _Process(self.kind, self.recipe, folder)
        if in_checkpoint:
            steps = [step_of(path) for path in (self.folder / "straight").glob("checkpoint-*")]
            checkpoint = folder / f"checkpoint-{draw.choice(steps)}"
            process.wait_for(checkpoint.is_dir)
            time.sleep(draw.uniform(0, 0.05))
        else:
            process.wait_for((folder / "run.json").is_file)
            time.sleep(draw.uniform(0, self.seconds))
        if not process.kill() or record_of(folder)["status"] == "finished":
            return False
        return not in_checkpoint or (checkpoint.is_dir() and not (checkpoint / CHECKPOINT_NAME).is_file())


class _Process:
    """A training program in a process of its own."""

    def __init__(self, kind: str, recipe: Path, output: Path, *flags: str) -> None:
        self.said, self.status = output.with_suffix(".log"), 0
        self.pid = os.fork()
        if self.pid == 0:
            _become(KINDS[kind].program, ["--config", str(recipe), "--output_dir", str(output), *flags], self.said)

    def wait_for(self, happens: Callable[[], bool]) -> None:
        """Look until it happens or the process ends."""
        end = time.monotonic() + _MAX_SECONDS
        while not happens() and not self._has_ended() and time.monotonic() < end:
            time.sleep(0.0002)

    def kill(self) -> bool:
        """SIGKILL; False if the process has ended before."""
        if self._has_ended():
            return False
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status) == -signal.SIGKILL

    def finish(self) -> None:
        """Wait for the end. Raises `RuntimeError` with what the program said if it failed."""
        if not self._has_ended():
            _, status = os.waitpid(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
        if self.status != 0:
            raise RuntimeError(f"exit code {self.status}: {self.said.read_text()[-2000:]}")

    def _has_ended(self) -> bool:
        if self.pid == 0:
            return True
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.pid, self.status = 0, os.waitstatus_to_exitcode(status)
        return bool(pid)


def _become(program: str, words: Sequence[str], said: Path) -> None:
    """Run the program in this process, and end it."""
    place, code = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1
    os.dup2(place, 1)
    os.dup2(place, 2)
    try:
        importlib.import_module(f"pipelines.{program}").main(words)
        code = 0
    except BaseException:  # noqa: BLE001  this process ends here, whatever happens
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def table(kills: Sequence[Kill]) -> str:
    """Markdown: a row for each kind."""
    rows = ["| kind | kills | inside a checkpoint | resumed from step | equal files | differences |"]
    rows.append("|---|---:|---:|---|---:|---:|")
    by_kind = defaultdict(list)
    for kill in kills:
        by_kind[kill.kind].append(kill)
    for kind, some in by_kind.items():
        steps = ", ".join(str(kill.step) for kill in sorted(some, key=lambda kill: kill.step))
        counts = (len(some), sum(kill.in_checkpoint for kill in some))
        sums = (sum(kill.n_equal for kill in some), sum(len(kill.differences) for kill in some))
        rows.append(f"| {kind} | {counts[0]} | {counts[1]} | {steps} | {sums[0]} | {sums[1]} |")
    return "\n".join(rows)


def main() -> None:
    """Kill, resume, compare; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a folder that keeps the runs; else they are removed")
    flags = parser.parse_args()
    for library in ("trl.trainer.sft_trainer", "trl.trainer.dpo_trainer", "bitsandbytes", "peft"):
        importlib.import_module(library)
    draw, began, kills = random.Random(flags.seed), time.monotonic(), []
    names = list(KINDS)[:: max(1, len(KINDS) // flags.kills)][: flags.kills]
    with tempfile.TemporaryDirectory(prefix="kill-and-resume-") as name:
        folder = flags.output or Path(name)
        base = bare_base(folder / "base", tied=True)
        runs = [Runs.of(kind, folder / f"kind-{number}", base) for number, kind in enumerate(names)]
        for number in range(flags.kills):
            of_kind, in_checkpoint = runs[number % len(runs)], number < len(runs) and (number == 0 or flags.kills > 4)
            kill = of_kind.killed_and_resumed(f"kill-{number}", draw, in_checkpoint=in_checkpoint)
            where = "inside a checkpoint" if in_checkpoint else "at any moment"
            print(f"{kill.kind}, killed {where}, resumed from step {kill.step}: {len(kill.differences)} differences")
            print(*(f"    {line}" for line in kill.differences), sep="\n", end="", flush=True)
            kills.append(kill)
    n_unequal = sum(bool(kill.differences) for kill in kills)
    print(table(kills), f"{len(kills)} kills, {n_unequal} runs that differ, {time.monotonic() - began:.0f} s", sep="\n")
    sys.exit(1 if n_unequal else 0)


if __name__ == "__main__":
    main()
