"""The data programs as a user runs them: files to a dataset folder or a tokenizer, and every refusal in one line."""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from data_prep import build_corpus, build_instructions, train_tokenizer
from data_prep.dataset_folder import read_dataset_folder, read_manifest, read_rows
from pipelines.errors import UserError
from tests.conftest import PROJECT

Program = Callable[[Sequence[str]], None]
INSTRUCTIONS, CORPUS, TOKENIZER = (
    f"data_prep/{name}.py" for name in ("build_instructions", "build_corpus", "train_tokenizer")
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty Python modules with two documented functions each."""
    root = tmp_path_factory.mktemp("package") / "toys"
    root.mkdir()
    for number in range(60):
        lines = "\n".join(f"    step_{number}_{n} = values[{n}] * {number} + offset_{n}" for n in range(6))
        text = f'def add_{number}(a, b=1):\n    """Add {number}."""\n    return a + b + {number}\n\n\n'
        text += f'def walk_{number}(values):\n    """Walk {number} steps."""\n{lines}\n    return step_{number}_5\n'
        (root / f"module_{number}.py").write_text(text)
    return root


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def groups_of(folder: Path) -> dict[str, set[str]]:
    n_rows = read_manifest(folder)["n_rows"]
    return {split: set(read_dataset_folder(folder, split)["group"]) for split in n_rows if n_rows[split]}


def test_from_python_files_to_instructions_corpus_and_tokenizer(package, tmp_path, run_cli):
    done = run_cli(INSTRUCTIONS, "--source", package, "--output", tmp_path / "instructions")
    assert "120 rows of kind instructions" in done.stdout
    rows = [row for split in ("train", "validation", "test") for row in read_rows(tmp_path / "instructions", split)]
    asked = {row["instruction"]: row["output"] for row in rows}
    assert asked["Write a Python function add_7(a, b). Add 7."] == "def add_7(a, b=1):\n    return a + b + 7"

    done = run_cli(CORPUS, "--source", package, "--output", tmp_path / "corpus")
    assert "60 rows of kind corpus" in done.stdout
    done = run_cli(
        TOKENIZER, "--corpus", tmp_path / "corpus", "--vocab_size", "300", "--output", tmp_path / "tokenizer"
    )
    assert "bpe tokenizer of 300 tokens" in done.stdout
    assert "bytes per token on validation split" in done.stdout
    record = json.loads((tmp_path / "tokenizer" / "tokenizer_record.json").read_text())
    assert record["corpus"]["sha256"] == read_manifest(tmp_path / "corpus")["content_sha256"]["train"]
    assert record["vocab_size"] == 300
    assert record["command"].startswith("python data_prep/train_tokenizer.py --corpus ")


def test_modules_tested_on_are_never_in_the_corpus_that_trains(package, tmp_path):
    for seed in ("0", "1", "2"):
        shared = ["--source", str(package), "--seed", seed, "--validation_size", "0.1", "--test_size", "0.1"]
        build_instructions.main([*shared, "--output", str(tmp_path / f"instructions{seed}")])
        build_corpus.main([*shared, "--output", str(tmp_path / f"corpus{seed}")])
        instructions, corpus = groups_of(tmp_path / f"instructions{seed}"), groups_of(tmp_path / f"corpus{seed}")
        assert instructions == corpus
        assert not corpus["train"] & (instructions["test"] | instructions["validation"])


def test_the_standard_librarys_test_modules_are_never_in_the_corpus_that_trains(tmp_path):
    source = Path(sysconfig.get_path("stdlib")) / "email"
    build_instructions.main(["--source", str(source), "--output", str(tmp_path / "i"), "--max_output_chars", "600"])
    build_corpus.main(["--source", str(source), "--output", str(tmp_path / "c"), "--held_out", str(tmp_path / "i")])
    instructions, corpus = groups_of(tmp_path / "i"), groups_of(tmp_path / "c")
    assert instructions["test"]
    assert instructions["validation"]
    assert not corpus["train"] & (instructions["test"] | instructions["validation"])


def test_a_copied_module_is_kept_out_of_the_corpus_by_its_lines(package, tmp_path):
    build_instructions.main(["--source", str(package), "--output", str(tmp_path / "i")])
    held_out = read_rows(tmp_path / "i", "test") + read_rows(tmp_path / "i", "validation")
    vendored = tmp_path / "vendored"
    vendored.mkdir()
    for number in range(30):
        (vendored / f"own_{number}.py").write_text(f"x = {number}\n")
    for number, row in enumerate(row for row in held_out if "walk" in row["instruction"]):
        (vendored / f"copy_{number}.py").write_text(f"import os\n\n\n{row['output']}\n")
    build_corpus.main(["--source", str(vendored), "--output", str(tmp_path / "c"), "--held_out", str(tmp_path / "i")])
    assert read_manifest(tmp_path / "c")["n_rejected"]["overlaps_held_out"] > 0
    assert not [group for group in groups_of(tmp_path / "c")["train"] if group.startswith("copy")]


def test_the_same_command_twice_gives_the_same_bytes(package, tmp_path):
    for name in ("a", "b"):
        build_instructions.main(["--source", str(package), "--output", str(tmp_path / name), "--num_proc", "2"])
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.parquet"))
    assert len(files) == 3
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


def test_rows_without_an_output_are_kept_with_their_reason(tmp_path, run_cli):
    rows = [{"instruction": f"Say {n}.", "output": str(n)} for n in range(30)]
    rows += [{"instruction": "Say nothing.", "output": ""}, {"instruction": "Say less."}, rows[3]]
    source = write(tmp_path / "rows.jsonl", "\n".join(json.dumps(row) for row in rows))
    done = run_cli(INSTRUCTIONS, "--source", source, "--output", tmp_path / "out")
    assert "empty_output" in done.stdout
    assert read_manifest(tmp_path / "out")["n_rejected"] == {"duplicate": 1, "empty_output": 2}
    lines = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert [(line["source_row"], line["reason"]) for line in lines] == [
        ("31", "empty_output"),
        ("32", "empty_output"),
        ("33", "duplicate"),
    ]
    assert lines[0]["row"]["instruction"] == "Say nothing."


def test_alpacas_28_empty_outputs_are_found(shared_data, tmp_path):
    source = shared_data / "alpaca-52k" / "alpaca_data.json.gz"
    build_instructions.main(["--source", str(source), "--output", str(tmp_path / "out")])
    manifest = read_manifest(tmp_path / "out")
    assert manifest["n_rejected"]["empty_output"] == 28
    assert sum(manifest["n_rows"].values()) + sum(manifest["n_rejected"].values()) == 52002


def test_two_sources_of_one_name_are_told_apart_and_duplicates_between_them_found(tmp_path):
    for folder, answers in (("a", "xy"), ("b", "yz")):
        (tmp_path / folder).mkdir()
        rows = [{"question": f"What is {answer}?", "answer": answer} for answer in answers]
        write(tmp_path / folder / "rows.json", json.dumps(rows))
    sources = [flag for folder in "ab" for flag in ("--source", str(tmp_path / folder / "rows.json"))]
    build_instructions.main([*sources, "--output", str(tmp_path / "out"), "--test_size", "0", "--validation_size", "0"])
    rows = read_rows(tmp_path / "out", "train")
    assert [(row["source"], row["output"]) for row in rows] == [
        ("rows.json", "x"),
        ("rows.json", "y"),
        ("rows.json#2", "z"),
    ]
    assert [source["name"] for source in read_manifest(tmp_path / "out")["sources"]] == ["rows.json", "rows.json#2"]


def test_a_limit_keeps_so_many_rows_and_counts_the_others(package, tmp_path):
    build_instructions.main(["--source", str(package), "--output", str(tmp_path / "out"), "--limit", "50"])
    manifest = read_manifest(tmp_path / "out")
    assert sum(manifest["n_rows"].values()) == 50
    assert manifest["n_rejected"] == {"over_limit": 70}


def test_a_character_tokenizer_of_one_text_file(tmp_path, run_cli):
    text = write(tmp_path / "text.txt", "To be, or not to be.\n" * 50)
    done = run_cli(TOKENIZER, "--corpus", text, "--kind", "char", "--output", tmp_path / "out")
    assert f"char tokenizer of {len(set(text.read_text())) + 5} tokens" in done.stdout
    assert "1.000 bytes per token on the file's last 5%, which training saw" in done.stdout


@pytest.mark.parametrize(("program", "flags", "message"), [
    (build_instructions.main, ["--source", "nowhere.jsonl"], "nowhere.jsonl is not a file, a folder or a Hub id"),
    (build_instructions.main, ["--source", "nobody/nothing"], "not a path, and reading it from the Hub failed"),
    (build_corpus.main, ["--source", "x.json", "--format", "text_tree"], "cannot read x.json, a file of rows"),
    (build_instructions.main, ["--source", "x.json", "--test_size", "1.5"], "leave no training split"),
    (build_instructions.main, ["--source", "x.json", "--column_map", "output=anser"], r"\(anser\), only instruction"),
    (build_instructions.main, ["--source", "x.json", "--column_map", "a=output"], "has 'a', expected instruction"),
    (build_instructions.main, ["--source", "x.json", "--limit", "0"], "--limit: '0' is not a whole number above 0"),
    (build_instructions.main, ["--source", "x.txt"], "ends in .txt"),
    (build_instructions.main, ["--source", "silent.json"], r"no usable row \(1 rejected as empty_output\)"),
    (build_corpus.main, ["--source", "x.txt", "--held_out", "nowhere"], "does not exist; make one"),
    (build_corpus.main, ["--source", "x.txt", "--format", "csv"], "no column for text"),
    (train_tokenizer.main, ["--corpus", "nowhere"], "cannot read nowhere: no such file"),
    (train_tokenizer.main, ["--corpus", "x.txt", "--vocab_size", "99"], "--vocab_size is 99, expected at least 260"),
    (train_tokenizer.main, ["--corpus", "x.txt", "--kind", "char", "--vocab_size", "99"], "remove --vocab_size"),
])  # fmt: skip
def test_what_cannot_be_built_says_why_and_writes_nothing(tmp_path, monkeypatch, program, flags, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "x.txt", "some text\nmore text\n")
    write(tmp_path / "x.json", '[{"instruction": "a", "output": "b"}]')
    write(tmp_path / "silent.json", '[{"instruction": "a", "output": ""}]')
    with pytest.raises(UserError, match=message):
        program([*flags, "--output", "out"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("program", [build_instructions.main, build_corpus.main, train_tokenizer.main])
def test_an_output_folder_that_holds_files_is_refused(tmp_path, program):
    (tmp_path / "out").mkdir()
    write(tmp_path / "out" / "thesis.tex", "years")
    source = str(write(tmp_path / "x.txt", "text\n" * 30))
    named = ["--corpus" if program is train_tokenizer.main else "--source", source]
    for flags, fix in (([], "or add --overwrite"), (["--overwrite"], "--overwrite replaces only folders with")):
        with pytest.raises(UserError, match=fix):
            program([*named, "--output", str(tmp_path / "out"), *flags])
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_a_tokenizer_of_a_small_text_says_that_the_vocabulary_is_smaller(tmp_path, capsys):
    text = write(tmp_path / "x.txt", "aa bb\n")
    train_tokenizer.main(["--corpus", str(text), "--vocab_size", "1000", "--output", str(tmp_path / "out")])
    assert "the corpus has no more; 1,000 were requested" in capsys.readouterr().out


def test_data_prep_never_imports_torch():
    """Every module in one fresh interpreter, and the functions that import a library when they are called."""
    names = sorted(
        ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")
        for path in (PROJECT / "data_prep").rglob("*.py")
        if path.parent.name != "scaling" or find_spec("datatrove")
    )
    code = (
        "import importlib, sys, tempfile\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        "from pathlib import Path\n"
        "from data_prep import build_instructions, build_corpus, train_tokenizer\n"
        "from data_prep.dataset_folder import read_dataset_folder\n"
        "folder = Path(tempfile.mkdtemp())\n"
        '(folder / \'a.jsonl\').write_text(\'{"question": "Why?", "answer": "So."}\\n\')\n'
        "build_instructions.main(['--source', str(folder / 'a.jsonl'), '--output', str(folder / 'rows')])\n"
        "assert not {'datasets', 'pandas'} & {*sys.modules}, 'a build of JSONL should start fast'\n"
        "(folder / 'a.txt').write_text('some text')\n"
        "build_corpus.main(['--source', str(folder / 'a.txt'), '--output', str(folder / 'corpus')])\n"
        "read_dataset_folder(folder / 'corpus', 'train')\n"
        "train_tokenizer.main(['--corpus', str(folder / 'corpus'), '--output', str(folder / 'tokenizer')])\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr


def test_a_build_of_rows_imports_neither_datasets_nor_pandas(tmp_path):
    """Each takes a second, in every process."""
    source = write(tmp_path / "a.jsonl", '{"question": "Why?", "answer": "So."}\n' * 3)
    code = (
        "import sys\n"
        "from data_prep import build_instructions\n"
        f"build_instructions.main(['--source', {str(source)!r}, '--output', {str(tmp_path / 'out')!r}])\n"
        "assert not {'datasets', 'pandas'} & {*sys.modules}, sorted({'datasets', 'pandas'} & {*sys.modules})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
