"""A user's mistakes that no tensor is needed to see: program, arguments, and a part of the error line."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "transformers", "datasets", "trl", "pyarrow", "pandas")
_WATCHED = f"""
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(*sorted(set({HEAVY}) & sys.modules.keys()))
"""


@dataclass(frozen=True)
class Mistake:
    """One call with a mistake. `arguments` may name {base} (a model), {rows} (a JSONL file), {run} (an unfinished run
    folder), {taken} (a folder with a file in it), {recipe} (a valid recipe) and {folder} (an empty folder)."""

    name: str
    program: str
    arguments: str
    error: str

    @property
    def title(self) -> str:
        """Program and mistake."""
        return f"{Path(self.program).stem}: {self.name}"

    def command(self, places: dict[str, str]) -> list[str]:
        """The program and its arguments, from the top of a checkout."""
        return [self.program, *(word.format(**places) for word in self.arguments.split())]


_TABLE = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
_OF_RECIPES = _TABLE.pop("recipes")
MISTAKES = [
    Mistake(name, program, arguments, error)
    for program, table in [
        *((f"pipelines/{one}.py", _OF_RECIPES) for one in ("sft", "dpo", "pretrain")),
        *_TABLE.items(),
    ]
    for name, arguments, error in table
]


def make_places(folder: Path) -> dict[str, str]:
    """Make the files that the calls name, in `folder`."""
    (folder / "taken").mkdir()
    (folder / "taken/notes.txt").write_text("mine")
    (folder / "empty").mkdir()
    rows = [f'{{"instruction": "Add {n} and 1", "output": "{n + 1}"}}\n' for n in range(4)]
    (folder / "rows.jsonl").write_text("".join(rows))
    base = PROJECT / "recipes/quickstart/base"
    recipe = f"model_name_or_path: {base}\ndataset_name: {folder}/rows.jsonl\noutput_dir: {folder}/run\n"
    (folder / "recipe.yaml").write_text(recipe)
    return {
        "base": str(base), "rows": f"{folder}/rows.jsonl", "taken": f"{folder}/taken",
        "recipe": f"{folder}/recipe.yaml", "folder": f"{folder}/empty",
    }  # fmt: skip


def run_watched(command: list[str], project: Path = PROJECT) -> "tuple[subprocess.CompletedProcess[str], set[str]]":
    """The program run in a process of its own, and which of `HEAVY` it imported."""
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, *command], cwd=project, capture_output=True, text=True, check=False
    )
    return done, set(done.stdout.splitlines()[-1].split())
