"""The README's commands are run: each block of commands says by whom, and no block is without such a mark."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
MARKS = {"test", "slow", "make", "needs the Hub", "needs a GPU"}
BLOCKS = re.findall(r"(?:<!-- run: ([^>]*?) -->\n)?```bash\n(.*?)```", README, re.DOTALL)


def commands(mark: str) -> list[str]:
    joined = [block.replace("\\\n", " ") for found, block in BLOCKS if found == mark]
    return [line for block in joined for line in block.splitlines() if line and not line.startswith("#")]


def test_every_block_of_commands_says_who_runs_it() -> None:
    assert len(BLOCKS) >= 5
    assert {mark for mark, _ in BLOCKS} == MARKS


def test_every_path_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"\b(?:pipelines|data_prep|recipes|accelerate_configs|tests)/[\w./-]*[\w/]", README))
    missing = [name for name in named if not (PROJECT / name).exists()]
    assert not missing


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", README)) | {c.split()[1] for c in commands("make")} <= targets


@pytest.fixture
def users_folder(tmp_path: Path) -> Path:
    """A clone's top level with the files that the README's examples name."""
    for name in ("pipelines", "data_prep", "recipes", "accelerate_configs", "README.md"):
        (tmp_path / name).symlink_to(PROJECT / name)
    rows = [
        {"question": f"Write a Python function plus_{n}(x)", "answer": f"def plus_{n}(x):\n    return x + {n}"}
        for n in range(60)
    ]
    (tmp_path / "my_rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = [{"instruction": row["question"], "chosen": row["answer"], "rejected": "I will not."} for row in rows]
    (tmp_path / "my_pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (tmp_path / "input.txt").write_text(
        f"{README}\n{(PROJECT / 'LICENSE').read_text(encoding='utf-8')}", encoding="utf-8"
    )
    return tmp_path


def run_all(lines: list[str], folder: Path) -> None:
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line.replace(".venv/bin/python", "python")],
            cwd=folder, capture_output=True, text=True, env={**os.environ, "PATH": scripts},
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_the_commands_for_ones_own_data_run_as_they_stand(users_folder: Path) -> None:
    run_all(commands("test"), users_folder)
    comparison = users_folder / "runs" / "comparison"
    measured = json.loads((comparison / "perplexity.json").read_text())["results"][0]["perplexity"]
    assert f"{measured:.2f}" in (comparison / "report.html").read_text()


@pytest.mark.slow
def test_the_long_commands_run_as_they_stand(users_folder: Path) -> None:
    """The environment of `make` is lent to the folder, so that make has nothing to install."""
    if not (PROJECT / ".venv" / "installed").is_file():
        pytest.skip("no .venv: run this by `make test-slow`")
    for name in (".venv", "Makefile", "pyproject.toml", "constraints.txt"):
        (users_folder / name).symlink_to(PROJECT / name)
    run_all(commands("slow"), users_folder)
    assert (users_folder / "build" / "shakespeare" / "model" / "run.json").is_file()


@pytest.mark.slow
def test_make_quickstart_prints_the_path_of_its_report_last() -> None:
    done = subprocess.run(["make", "--no-print-directory", "quickstart"], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = PROJECT / done.stdout.strip().splitlines()[-1]
    assert report.name == "report.html"
    assert "find_max" in report.read_text(encoding="utf-8")
