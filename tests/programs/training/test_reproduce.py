"""reproduce.py on the lock of a run of two steps: the same bits, or the name of what is not as it was."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from pipelines import reproduce, sft
from pipelines.errors import AnswerIsNo, UserError
from pipelines.records import read_lock
from tests.conftest import PROJECT

RECIPE: dict[str, Any] = {
    "model_name_or_path": "base", "dataset_name": "rows", "output_dir": "run", "dtype": "float32", "use_peft": True,
    "lora_r": 4, "lora_dropout": 0.1, "max_length": 128, "max_steps": 2, "per_device_train_batch_size": 4,
    "learning_rate": 1e-2, "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "no",
    "bf16": False, "activation_checkpointing": False, "report_to": "none", "disable_tqdm": True, "doctor": "off",
    "hub_token": "hf_abcdefghijklmnopqrstuvwxyz",
}  # fmt: skip


def build_rows(folder: Path, last_answer: str = "def f_39(x):\n    return x + 39") -> None:
    """A dataset folder whose last training row has `last_answer`."""
    from data_prep.dataset_folder import DatasetKind, SplitSizes, write_dataset_folder

    answers = [f"def f_{n}(x):\n    return x + {n}" for n in range(39)] + [last_answer]
    rows = [
        {"instruction": f"Write f_{n}(x)", "input": "", "output": answer, "source": "s", "source_row": str(n),
         "group": str(n)}
        for n, answer in enumerate(answers)
    ]  # fmt: skip
    sizes = SplitSizes(0.2, 0.0)
    write_dataset_folder(folder, rows, kind=DatasetKind.INSTRUCTIONS, split_sizes=sizes, seed=0, sources=[],
                         rejected=[], command="a test")  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path) -> Path:
    """A folder with base/, rows/, recipe.yaml and run/, which was started in it with relative paths."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copytree(tiny_model_folder, folder / "base")
    build_rows(folder / "rows")
    (folder / "recipe.yaml").write_text(json.dumps(RECIPE))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        sft.main(["--config", "recipe.yaml"])
    return folder


@pytest.fixture(autouse=True)
def in_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def test_the_same_adapter_comes_out_bit_by_bit(place, capfd):
    reproduce.main(["run"])
    assert "bit-identical" in capfd.readouterr().out.splitlines()
    record = json.loads((place / "run-reproduced" / "reproduction.json").read_text())
    locks = [read_lock(place / name) for name in ("run", "run-reproduced")]
    assert record["verdict"] == "bit-identical"
    assert record["weights_sha256"] == dict.fromkeys(("locked", "here"), locks[0]["result"]["weights_sha256"])
    assert locks[0]["result"]["loss_curve"] == locks[1]["result"]["loss_curve"]
    assert [step for step, _ in locks[0]["result"]["loss_curve"]] == [1, 2]
    files = [(place / name / "adapter_model.safetensors").read_bytes() for name in ("run", "run-reproduced")]
    assert files[0] == files[1]


def test_the_lock_has_the_recipe_as_it_was_given_and_neither_token_nor_place(place):
    lock = read_lock(place / "run")
    assert {key: lock["recipe"][key] for key in ("model_name_or_path", "dataset_name", "output_dir")} == {
        "model_name_or_path": "base", "dataset_name": "rows", "output_dir": "run",
    }  # fmt: skip
    text = json.dumps({key: value for key, value in lock.items() if key != "git"})  # of a developer's checkout
    for private in ("hf_abc", str(place), str(Path.home()), str(PROJECT)):
        assert private not in text
    assert [one["split"] for one in lock["datasets"]] == ["train", "validation"]
    assert lock["machine"]["n_threads"] == int(os.environ["OMP_NUM_THREADS"])


def test_one_row_of_the_data_changed_is_named_by_its_split_and_nothing_is_run(tmp_path):
    build_rows(tmp_path / "rows", last_answer="def f_39(x):\n    return x + 40")
    with pytest.raises(AnswerIsNo) as refused:
        reproduce.main(["run", "--dataset_name", str(tmp_path / "rows"), "--output_dir", str(tmp_path / "again")])
    assert "train dataset fingerprint: sha256:" in str(refused.value)
    for other in ("validation", "base", "tokenizer", "template"):
        assert other not in str(refused.value)
    assert not (tmp_path / "again").exists()


def test_the_same_rows_in_another_place_are_the_same(tmp_path, capsys):
    build_rows(tmp_path / "moved")
    reproduce.main(["run/lock.json", "--dataset_name", str(tmp_path / "moved"), "--check_only"])
    assert "the run can be reproduced here" in capsys.readouterr().out


def test_a_mixture_is_made_again_and_with_a_changed_part_it_is_refused(place, tmp_path, capsys):
    for part in ("one", "two"):
        row = json.dumps({"instruction": f"Say {part}", "input": "", "output": f"It is {part}."})
        (tmp_path / f"{part}.jsonl").write_text(f"{row}\n" * 8)
    recipe = RECIPE | {
        "model_name_or_path": str(place / "base"), "output_dir": str(tmp_path / "run"), "eval_strategy": "no",
        "datasets": [{"path": str(tmp_path / f"{part}.jsonl"), "fraction": 0.5} for part in ("one", "two")],
    }  # fmt: skip
    del recipe["dataset_name"]
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    sft.main(["--config", str(tmp_path / "recipe.yaml")])
    reproduce.main([str(tmp_path / "run")])
    assert "bit-identical" in capsys.readouterr().out.splitlines()
    changed = (tmp_path / "two.jsonl").read_text().replace("It is", "This is")
    (tmp_path / "two.jsonl").write_text(changed)
    with pytest.raises(AnswerIsNo, match=r"another run: train dataset fingerprint: sha256:\w+… in the lock"):
        reproduce.main([str(tmp_path / "run"), "--check_only"])


def test_another_base_is_named_by_its_fingerprint(place, tmp_path):
    shutil.copytree(place / "base", tmp_path / "base")
    weights = load_file(tmp_path / "base" / "model.safetensors")
    save_file({k: v + 1 for k, v in weights.items()}, tmp_path / "base" / "model.safetensors", {"format": "pt"})
    with pytest.raises(AnswerIsNo, match=r"another run: base fingerprint: sha256:\w+… in the lock"):
        reproduce.main(["run", "--model_name_or_path", str(tmp_path / "base"), "--check_only"])


def test_what_is_not_there_says_where_paths_count_from_and_which_key_names_it(tmp_path, place, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        reproduce.main([str(place / "run"), "--model_name_or_path", str(place / "base"), "--check_only"])
    assert "rows" in refused.value.problem
    assert str(tmp_path) in refused.value.problem
    assert "--dataset_name PATH" in str(refused.value.fix)
    with pytest.raises(UserError, match="--model_name_or_path PATH"):
        reproduce.main([str(place / "run"), "--dataset_name", str(place / "rows"), "--check_only"])
    with pytest.raises(UserError, match=r"absent\.jsonl.*--datasets PATH"):
        reproduce.main([str(place / "run"), "--datasets", "[{path: absent.jsonl}]", "--check_only"])


def with_changes(place: Path, folder: Path, **changes: Any) -> Path:
    """The run's lock with other values, in a file."""
    folder.mkdir(exist_ok=True)
    (folder / "lock.json").write_text(json.dumps(read_lock(place / "run") | changes))
    return folder / "lock.json"


def test_another_version_is_said_and_does_not_refuse(place, tmp_path, capsys):
    versions = read_lock(place / "run")["versions"] | {"torch": "1.0"}
    reproduce.main([str(with_changes(place, tmp_path, versions=versions)), "--check_only"])
    said = capsys.readouterr().out
    assert "version of torch: 1.0 in the lock, " in said
    assert "the run can be reproduced here" in said


def test_an_output_dir_that_is_taken_is_refused_before_anything_is_read():
    with pytest.raises(UserError, match="choose another --output_dir"):
        reproduce.main(["run", "--output_dir", "base", "--dataset_name", "absent"])


@pytest.mark.slow
def test_with_another_version_a_loss_nearby_is_enough_and_with_the_same_one_it_is_not(place, tmp_path, capfd):
    lock = read_lock(place / "run")
    curve = [[step, loss * 1.001] for step, loss in lock["result"]["loss_curve"]]
    result = lock["result"] | {"loss_curve": curve, "weights_sha256": "sha256:another"}
    versions = lock["versions"] | {"torch": "1.0"}
    other = with_changes(place, tmp_path / "other", result=result, versions=versions)
    reproduce.main([str(other), "--output_dir", str(tmp_path / "one")])
    assert "within tolerance" in capfd.readouterr().out.splitlines()
    same = with_changes(place, tmp_path / "same", result=result)
    with pytest.raises(AnswerIsNo, match="not reproduced"):
        reproduce.main([str(same), "--output_dir", str(tmp_path / "two"), "--tolerance", "0"])


@pytest.mark.slow
def test_a_run_of_two_processes_is_made_again_by_two_processes(place, tmp_path, capfd):
    config = PROJECT / "accelerate_configs" / "cpu_ddp.yaml"
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        config,
        PROJECT / "pipelines/sft.py",
    ]
    subprocess.run([*map(str, command), "--config", "recipe.yaml", "--output_dir", str(tmp_path / "both")], check=True)
    reproduce.main([str(tmp_path / "both"), "--output_dir", str(tmp_path / "again")])
    assert "bit-identical" in capfd.readouterr().out.splitlines()
    locks = [read_lock(tmp_path / name) for name in ("both", "again")]
    assert [(lock["n_processes"], lock["parallelism"]) for lock in locks] == [(2, "ddp")] * 2
    assert read_lock(place / "run")["result"]["weights_sha256"] != locks[0]["result"]["weights_sha256"]
