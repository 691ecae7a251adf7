"""The documentation's commands are run. Each block of commands says by whom; a table's command says what it needs."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from transformers import AutoModelForCausalLM

from tests.chat_trees import chat_trees
from tests.conftest import RunCli

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [
    page for page in PROJECT.rglob("*.md")
    if not {".venv", "build", "runs"} & set(page.relative_to(PROJECT).parts) and page.parent.name != "base"
]  # fmt: skip
MARKS = {
    "test", "slow", "make", "by hand", "needs the Hub", "needs a GPU", "needs a browser", "needs bubblewrap",
    "needs the extra scale", "needs a server", "test with a server",
}  # fmt: skip
GGUF = '`pip install -e ".[gguf]"`'
NEEDS = {"", "the Hub", "GPUs", "3 minutes", "a browser", "a server", '`pip install -e ".[serving]"`', GGUF}
ROOTS = ("pipelines", "data_prep", "recipes", "accelerate_configs", "tests", "findings")
MANUALS = ["data_prep/README.md", "pipelines/README.md"]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
TABLE = re.findall(r"^\| [a-z][^|]* \| `([^`|]*)` \| ?(.*?) ?\|$", README, re.MULTILINE)


def blocks(page: str) -> list[tuple[str, str]]:
    """Mark ("" where there is none) and text of each block of commands on a page."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    return re.findall(r"(?:<!-- run: ([^>]*?) -->\n)?```bash\n(.*?)```", text, re.DOTALL)


def commands(page: str, mark: str) -> list[str]:
    joined = [block.replace("\\\n", " ") for found, block in blocks(page) if found == mark]
    return [line for block in joined for line in block.splitlines() if line and not line.startswith("#")]


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 220
    assert len(README.split()) <= 2200


def test_every_block_of_commands_says_who_runs_it():
    pages = ["README.md", *MANUALS]
    marks = [mark for page in pages for mark, _ in blocks(page)]
    assert len(marks) >= 20
    assert set(marks) <= MARKS
    assert len(TABLE) >= 15
    assert {needs for _, needs in TABLE} == NEEDS


def test_every_program_has_a_command_in_its_manual():
    for page in MANUALS:
        programs = {path.name for path in (PROJECT / page).parent.glob("*.py")} - {"__init__.py"}
        folder = Path(page).parent
        assert programs == {one for one in programs if f"python {folder}/{one}" in (PROJECT / page).read_text()}


def test_every_path_that_the_documentation_names_exists():
    files = {path.name for folder in ROOTS for path in (PROJECT / folder).rglob("*.py")}
    missing = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = set(re.findall(rf"(?<![\w./-])(?:{'|'.join(ROOTS)})/[\w./-]*[\w/]", text))
        places = [PROJECT / name for name in named if Path(name).stem not in ("NAME", "PROGRAM")]
        places += [page.parent / link for link in re.findall(r"\]\((?!https?:)([^)#]+)", text)]
        missing += [f"{page.relative_to(PROJECT)}: {place}" for place in places if not place.exists()]
        modules = set(re.findall(r"`(?:\w+/)*(\w+\.py)`", text)) - files
        missing += [f"{page.relative_to(PROJECT)}: {name}" for name in modules]
    assert not missing


def test_every_make_target_that_the_documentation_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))}
    assert named | {command.split()[1] for command in commands("README.md", "make")} <= targets


@pytest.fixture(scope="module")
def users_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone's top level with the files that the documentation's examples name, its base and its text small."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("pipelines", "data_prep", "accelerate_configs"):
        (folder / name).symlink_to(PROJECT / name)
    shutil.copytree(PROJECT / "recipes", folder / "recipes", ignore=shutil.ignore_patterns("*.safetensors"))
    base = PROJECT / "recipes" / "quickstart" / "base"
    one_layer = AutoModelForCausalLM.from_pretrained(base, num_hidden_layers=1)
    one_layer.save_pretrained(folder / "recipes" / "quickstart" / "base")
    (folder / "README.md").write_text(README[:2000], encoding="utf-8")
    asked = [f"Write a Python function plus_{n}(x)" for n in range(40)]
    answers = [f"def plus_{n}(x):\n    return x + {n}" for n in range(40)]
    rows = [{"question": one, "answer": answer} for one, answer in zip(asked, answers, strict=True)]
    pairs = [{"instruction": row["question"], "chosen": row["answer"], "rejected": "I will not."} for row in rows]
    chats = [
        {"messages": [
            {"role": "user", "content": one}, {"role": "assistant", "content": answer},
            {"role": "user", "content": "Now with a docstring"},
            {"role": "assistant", "content": answer.replace("\n", '\n    """Add to x."""\n')},
        ]}
        for one, answer in zip(asked, answers, strict=True)
    ]  # fmt: skip
    for name, content in {"my_rows": rows, "my_pairs": pairs, "my_chats": chats, "my_trees": chat_trees()}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    mapped = {"source": "my_rows.jsonl", "column_map": {"instruction": "question", "output": "answer"}, "weight": 1.5}
    (folder / "my_mixture.yaml").write_text(json.dumps(["my_chats.jsonl", mapped]))  # JSON is YAML
    text = f"{README}\n{(PROJECT / 'LICENSE').read_text(encoding='utf-8')}"
    (folder / "input.txt").write_text(text, encoding="utf-8")
    return folder


def run_all(lines: list[str], folder: Path) -> None:
    """Run commands as a user starts them: in a shell, cold."""
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line], cwd=folder, capture_output=True, text=True, env={**os.environ, "PATH": scripts}
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def run_warm(lines: list[str], folder: Path, run_cli: RunCli) -> None:
    """Run commands in processes that have the libraries already, which saves the seconds of their imports."""
    for line in lines:
        _, program, *arguments = shlex.split(line)
        run_cli(program, *arguments, cwd=folder)


@pytest.fixture(scope="module")
def after_the_readme(users_folder: Path, run_cli: RunCli) -> Path:
    fast = [command for command, needs in TABLE if not needs]
    run_all(fast[:3], users_folder)
    run_warm(fast[3:], users_folder, run_cli)
    return users_folder


def test_the_commands_of_the_readme_run_as_printed(after_the_readme):
    assert (after_the_readme / "runs" / "comparison" / "report.html").is_file()
    assert (after_the_readme / "runs" / "my-merged" / "merge.json").is_file()


def test_the_commands_of_the_manuals_run_as_printed(after_the_readme, run_cli):
    marks = {"test", "needs bubblewrap"} if shutil.which("bwrap") else {"test"}
    for page in MANUALS:
        for mark in sorted(marks, reverse=True):
            run_warm(commands(page, mark), after_the_readme, run_cli)
    comparison = after_the_readme / "runs" / "full-comparison"
    measured = json.loads((comparison / "perplexity.json").read_text())["results"][0]["perplexity"]
    assert f"{measured:,.1f}" in (comparison / "report.html").read_text()


def test_the_command_that_writes_a_gguf_file_runs_as_printed(after_the_readme, run_cli):
    pytest.importorskip("xllamacpp", reason='llama.cpp needs `pip install -e ".[gguf]"`')
    run_warm([command for command, needs in TABLE if needs == GGUF], after_the_readme, run_cli)
    assert (after_the_readme / "runs" / "my-model.gguf").is_file()


def test_the_commands_with_a_server_run_as_printed(after_the_readme, run_cli):
    if importlib.util.find_spec("openai") is None:
        pytest.skip('transformers serve needs `pip install -e ".[serving]"`')
    command = [str(Path(sys.executable).parent / "transformers"), "serve", "runs/my-merged"]
    command += ["--device", "cpu", "--dtype", "float32"]
    with subprocess.Popen(command, cwd=after_the_readme, stderr=subprocess.DEVNULL) as server:
        try:
            while server.poll() is None:
                try:
                    httpx.get("http://127.0.0.1:8000/health")
                    break
                except httpx.ConnectError:
                    time.sleep(0.1)
            run_warm(commands("pipelines/README.md", "test with a server"), after_the_readme, run_cli)
        finally:
            server.terminate()
    assert json.loads((after_the_readme / "runs" / "my-merged" / "served.json").read_text())["same"]


@pytest.mark.slow
def test_the_long_commands_run_as_printed(users_folder):
    """The environment of `make` is lent to the folder, so that make has nothing to install."""
    if not (PROJECT / ".venv" / "installed").is_file():
        pytest.skip("no .venv: run this by `make test-slow`")
    for name in (".venv", "Makefile", "pyproject.toml", "constraints.txt"):
        (users_folder / name).symlink_to(PROJECT / name)
    run_all([line for page in MANUALS for line in commands(page, "slow")], users_folder)
    assert (users_folder / "build" / "shakespeare" / "model" / "run.json").is_file()
    assert (users_folder / "runs" / "tree-comparison" / "report.html").is_file()


@pytest.mark.slow
def test_make_quickstart_prints_the_path_of_its_report_last():
    done = subprocess.run(["make", "--no-print-directory", "quickstart"], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = PROJECT / done.stdout.strip().splitlines()[-1]
    assert report.name == "report.html"
    assert "find_max" in report.read_text(encoding="utf-8")
