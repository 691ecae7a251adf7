"""A user's mistakes that no tensor is needed to see: program, arguments, and a part of the error line."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

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
_SFT = "--model_name_or_path {base} --dataset_name {rows} --output_dir {folder}/run"
_BOTH = "--base {base} --instruct {base}"
_COMPARE = _BOTH + " --prompts {rows} --output {folder}/o"


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


def _recipe_mistakes(program: str) -> list[Mistake]:
    table = [
        ("misspelt key", f"{_SFT} --lerning_rate 1e-4", "`learning_rate`"),
        ("renamed key", f"{_SFT} --torch_dtype float32", "dtype"),
        ("wrong type", f"{_SFT} --learning_rate fast", "learning_rate"),
        ("out of range", f"{_SFT} --seed -1", "seed"),
        ("none of the choices", f"{_SFT} --optim adamx", "optim"),
        ("no value", "--config {recipe} --learning_rate", "--learning_rate has no value"),
        ("an output_dir below a file", "--config {recipe} --output_dir /dev/null/run", "a part of it is a file"),
        (
            "four problems at once",
            f"{_SFT} --seed -1 --learning_rate fast --general_text none.txt --optim x",
            "4 problems in ",
        ),
        ("missing recipe", "--config {folder}/none.yaml", "none.yaml"),
        ("output_dir is taken", "--config {recipe} --output_dir {taken}", "{taken}"),
        ("missing rows", "--config {recipe} --dataset_name {folder}/none.jsonl", "none.jsonl"),
        ("missing model", "--config {recipe} --model_name_or_path {folder}/none", "{folder}/none"),
        ("missing general_text", "--config {recipe} --general_text {folder}/none.txt", "none.txt"),
    ]
    return [Mistake(name, f"pipelines/{program}.py", arguments, error) for name, arguments, error in table]


def _mistakes(program: str, *table: tuple[str, str, str]) -> list[Mistake]:
    folder = (
        "data_prep"
        if program in ("build_instructions", "build_corpus", "build_preferences", "train_tokenizer")
        else "pipelines"
    )
    return [Mistake(name, f"{folder}/{program}.py", arguments, error) for name, arguments, error in table]


MISTAKES = [
    *(one for program in ("sft", "dpo", "pretrain") for one in _recipe_mistakes(program)),
    *_mistakes(
        "sft",
        ("no --config", "", "model_name_or_path is missing"),
        ("no dataset", "--model_name_or_path {base} --output_dir {folder}/run", "dataset_name or datasets is missing"),
        ("folder that is no model", "--config {recipe} --model_name_or_path {folder}", "{folder}"),
        ("folder that is no dataset", "--config {recipe} --dataset_name {folder}", "{folder}"),
        ("missing adapter", "--config {recipe} --adapter_name_or_path {folder}/none", "{folder}/none"),
        ("LoRA keys without use_peft", "--config {recipe} --lora_r 8", "use_peft"),
        ("resume without a run", "--config {recipe} --resume", "resume"),
        ("dataset with a bad revision", "--config {recipe} --dataset_name org/rows@", "org/rows@"),
        ("Hub id with a bad revision", "--config {recipe} --model_name_or_path org/name@", "org/name@"),
    ),
    *_mistakes(
        "doctor",
        ("no --config", "", "--config"),
        ("missing recipe", "--config {folder}/none.yaml", "none.yaml"),
        ("wrong type", "--config {recipe} --learning_rate fast", "learning_rate"),
        ("missing rows", "--config {recipe} --dataset_name {folder}/none.jsonl", "none.jsonl"),
        ("missing model", "--config {recipe} --model_name_or_path {folder}/none", "none"),
        ("unknown stage", "--config {recipe} --stage rl", "stage"),
    ),
    *_mistakes(
        "compare",
        ("no --base", "", "--base"),
        ("misspelt flag", f"{_COMPARE} --promts x", "--promts"),
        ("missing base", "--base {folder}/none --instruct {base} --prompts {rows} --output {folder}/o", "none"),
        ("missing prompts", f"{_BOTH} --prompts {{folder}}/none.jsonl --output {{folder}}/o", "none.jsonl"),
        ("--output is taken", f"{_BOTH} --prompts {{rows}} --output {{taken}}", "{taken}"),
        ("missing --perplexity", f"{_COMPARE} --perplexity {{folder}}/none.json", "none.json"),
        ("missing --general", f"{_COMPARE} --general {{folder}}/none.txt", "none.txt"),
        ("num_samples -1", f"{_COMPARE} --num_samples -1", "num_samples"),
    ),
    *_mistakes(
        "perplexity",
        ("no model", "", "--model_name_or_path"),
        ("missing model", "--model_name_or_path {folder}/none --dataset {rows}", "none"),
        ("missing dataset", "--model_name_or_path {base} --dataset {folder}/none", "none"),
    ),
    *_mistakes(
        "score",
        ("no text", "--model_name_or_path {base}", "--text"),
        ("missing file", "--model_name_or_path {base} --file {folder}/none.txt", "none.txt"),
        ("missing model", "--model_name_or_path {folder}/none --text x", "none"),
    ),
    *_mistakes(
        "generate",
        ("no model", "", "--model_name_or_path"),
        ("missing model", "--model_name_or_path {folder}/none --prompt x", "none"),
        (
            "missing prompts",
            "--model_name_or_path {base} --prompts {folder}/none.jsonl --output {folder}/o",
            "none.jsonl",
        ),
        ("top_p 0", "--model_name_or_path {base} --prompt x --temperature 1 --top_p 0", "top_p"),
    ),
    *_mistakes(
        "merge",
        ("no adapter", "", "--adapter"),
        ("missing adapter", "--adapter {folder}/none --output {folder}/o", "none"),
        ("--output is taken", "--adapter {base} --output {taken}", "{taken}"),
    ),
    *_mistakes(
        "push",
        ("missing run", "{folder}/none --repo_id me/it", "none"),
        ("no --repo_id", "{folder}", "--repo_id is missing. Usage: "),
        ("missing --merged", "{folder} --repo_id me/it --merged {folder}/none", "none"),
        ("no run", "{folder} --repo_id me/it", "run.json"),
    ),
    *_mistakes("reproduce", ("missing lock", "{folder}/none", "none"), ("no lock", "{folder}", "lock.json")),
    *_mistakes(
        "benchmark",
        ("no --tasks", _BOTH, "--tasks"),
        ("missing base", "--base {folder}/none --instruct {base} --tasks arc_easy", "none"),
        ("missing include_path", f"{_BOTH} --tasks x --include_path {{folder}}/none", "none"),
    ),
    *_mistakes(
        "playground",
        ("no --base", "", "--base"),
        ("missing base", "--base {folder}/none --instruct {base}", "none"),
        ("port out of range", f"{_BOTH} --port 70000", "70000"),
    ),
    *_mistakes(
        "build_instructions",
        ("no --source", "--output {folder}/o", "--source"),
        ("missing source", "--source {folder}/none --output {folder}/o", "none"),
        ("--output is taken", "--source {rows} --output {taken}", "{taken}"),
    ),
    *_mistakes(
        "build_corpus",
        ("no disk", "--source {rows} --output /dev/null/x", "cannot write /dev/null/x: "),
        ("missing source", "--source {folder}/none --output {folder}/o", "none"),
    ),
    *_mistakes(
        "build_preferences",
        ("no disk", "--source {rows} --output /dev/null/x", "cannot write"),
        ("missing source", "--source {folder}/none --output {folder}/o", "none"),
    ),
    *_mistakes(
        "train_tokenizer",
        ("no disk", "--corpus {rows} --output /dev/null/x", "cannot write"),
        ("missing corpus", "--corpus {folder}/none --output {folder}/o", "none"),
    ),
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
