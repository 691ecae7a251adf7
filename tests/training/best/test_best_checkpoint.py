"""Keeping the best checkpoint: what chooses it, that it is what is saved, and that a resumed run chooses the same."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipelines import compare, dpo, pretrain, sft
from pipelines.errors import UserError
from pipelines.inference.generation import Answer
from pipelines.recipe.keep_best import KeepBest
from pipelines.records.kept_checkpoint import kept_lines
from pipelines.training.best import best_checkpoint, held_out_measures
from tests.run_files import adapter_weights, logged, mark_started, read_json, read_jsonl, record_of, write_jsonl
from tests.training.sft_runs import KEYS, bare_base

_OFTEN = (
    "--use_peft --learning_rate 1e-2 --lora_dropout 0.2 --max_steps 8 --eval_steps 2 --test_split_size 8 "
    "--doctor off --row_losses false --keep_best_max_new_tokens 8"
)
_EACH_EVALUATION = "--eval_strategy steps --save_strategy steps --save_steps 2"
Train = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows in pairs of one group."""
    rows = [{"instruction": f"Say {n}.", "output": f"{n} it is", "group": str(n // 2)} for n in range(24)]
    return write_jsonl(tmp_path_factory.mktemp("rows") / "rows.jsonl", rows)


@pytest.fixture(scope="module")
def train(base: Path, rows: Path) -> Train:
    keys = KEYS.replace("--eval_strategy no ", "").replace("--save_strategy no ", "")

    def run(folder: Path, more: str, model: Path = base) -> dict[str, Any]:
        sft.main(
            f"--model_name_or_path {model} --dataset_name {rows} --output_dir {folder} {keys} {_OFTEN} {more}".split()
        )
        return record_of(folder)

    return run


@pytest.fixture(scope="module")
def runs(train: Train, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same run without a choice, and with choices by loss and by answers."""
    folder = tmp_path_factory.mktemp("runs")
    ways = {"plain": _EACH_EVALUATION, "loss": "--keep_best loss", "chrf": "--keep_best chrf"}
    for name, more in ways.items():
        train(folder / name, more)
    return {name: folder / name for name in ways}


def state_of(checkpoint: Path) -> dict[str, Any]:
    """Weights, optimizer and random state, in full."""
    parts = {name: torch.load(checkpoint / name, weights_only=False) for name in ("optimizer.pt", "rng_state.pth")}
    return {**parts, "weights": load_file(checkpoint / "adapter_model.safetensors")}


def flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [one for key in value for one in flat(value[key])]
    if isinstance(value, list | tuple):
        return [one for part in value for one in flat(part)]
    return value.flatten().tolist() if hasattr(value, "flatten") else [value]


@pytest.mark.parametrize("way", ["loss", "chrf"])
def test_measuring_does_not_change_the_training_by_a_bit(runs, way):
    for step in (2, 8):
        plain, measured = (state_of(runs[name] / f"checkpoint-{step}") for name in ("plain", way))
        assert flat(plain) == flat(measured)
    assert logged(runs["plain"], "loss") == logged(runs[way], "loss")


@pytest.mark.parametrize("way", ["loss", "chrf"])
def test_the_best_checkpoint_is_what_is_saved_and_the_record_says_why(runs, way):
    record = record_of(runs[way])["best_checkpoint"]
    values = {one["step"]: one["value"] for one in record["evaluations"]}
    assert list(values) == [2, 4, 6, 8]
    best = min(values.values()) if way == "loss" else max(values.values())
    assert (record["value"], values[record["step"]], record["metric"]) == (best, best, f"eval_{way}")
    assert len(set(values.values())) > 1
    kept = adapter_weights(runs[way] / record["checkpoint"])
    assert record["n_tensors_equal"] == len(kept)
    assert all(torch.equal(kept[name], tensor) for name, tensor in adapter_weights(runs[way]).items())
    figures = {one["step"]: one for one in record["evaluations"]}
    assert all(one["on_rows"]["n"] == 8 and one["on_rows"]["n_groups"] < 8 for one in figures.values())
    assert {step for step, one in figures.items() if one["minus_best"] is None} == {record["step"]}
    if way == "chrf":
        assert all(one["on_rows"]["value"] == pytest.approx(one["value"]) for one in figures.values())
    [line, note] = kept_lines(record)
    assert line.startswith(f"kept {record['checkpoint']}, the best of 4 evaluations by eval_{way}")
    assert re.search(r"on 8 held-out rows, \d of the 3 others differ from it by no more than chance", line)
    assert "test split" in note
    card = (runs[way] / "README.md").read_text()
    assert all(text.split(";")[0].replace("_", "\\_") in card for text in (line, note))
    assert f"{record['step']}, kept" in card


def test_the_log_has_the_value_and_the_evaluation_after_the_training_is_of_the_kept_step(runs):
    history = read_json(runs["chrf"] / "trainer_state.json")["log_history"]
    logs = [(one["step"], one["eval_chrf"]) for one in history if "eval_chrf" in one]
    record = record_of(runs["chrf"])
    assert logs[:-1] == [(one["step"], one["value"]) for one in record["best_checkpoint"]["evaluations"]]
    assert logs[-1] == (record["best_checkpoint"]["step"], record["best_checkpoint"]["value"])
    assert record["metrics"]["eval_chrf"] == record["best_checkpoint"]["value"]
    assert [line["step"] for line in read_jsonl(runs["chrf"] / "best_checkpoint.jsonl")] == [2, 4, 6, 8]
    samples = record_of(runs["plain"]).get("best_checkpoint")
    assert samples is None


def test_the_value_is_the_one_of_compare(runs, rows, tmp_path):
    kept = record_of(runs["chrf"])["best_checkpoint"]
    held_out = [json.loads(line) for line in rows.read_text().splitlines()]
    split = {one["instruction"] for one in _held_out_rows(runs["chrf"])}
    path = write_jsonl(tmp_path / "held_out.jsonl", [one for one in held_out if one["instruction"] in split])
    base = record_of(runs["chrf"])["base"]["path"]
    compare.main(["--base", base, "--instruct", str(runs["chrf"]), "--prompts", str(path), "--num_samples", "0",
                  "--max_new_tokens", "8", "--base_few_shot", "0", "--output", str(tmp_path / "out")])  # fmt: skip
    figure = read_json(tmp_path / "out" / "comparison.json")["models"]["instruct"]["metrics"]["chrf"]
    assert (figure["value"], figure["n"]) == (pytest.approx(kept["value"], abs=1e-12), 8)


def _held_out_rows(run: Path) -> list[dict[str, Any]]:
    from pipelines.recipe import ARGUMENTS, Stage, parse_recipe
    from pipelines.training.data.rows import recipe_rows

    keys = record_of(run)["recipe"]
    asked = ["--dataset_name", keys["dataset_name"], "--test_split_size", "8", "--model_name_or_path", "x",
             "--bf16", "false"]  # fmt: skip
    recipe = parse_recipe(ARGUMENTS[Stage.SFT], asked)
    return list(recipe_rows(recipe.arguments[0], recipe.arguments[1].seed, evaluates=True)[1] or ())


@pytest.fixture
def worsening(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first evaluation is the best one."""
    values = best_checkpoint.BestCheckpoint.measure

    def measure(self: Any, trainer: Any, prefix: str) -> dict[str, float]:
        found = values(self, trainer, prefix)
        return dict.fromkeys(found, 1 / (1 + trainer.state.global_step)) if trainer.is_in_train else found

    monkeypatch.setattr(best_checkpoint.BestCheckpoint, "measure", measure)


@pytest.mark.usefixtures("worsening")
@pytest.mark.parametrize("resumed_at", [4, 6])
def test_a_resumed_run_chooses_and_stops_as_the_straight_one(train, tmp_path, resumed_at):
    """At step 6 patience is over already: not one step more is trained."""
    keys = "--keep_best chrf --patience 2 --save_total_limit 3"
    straight = train(tmp_path / "run", keys)["best_checkpoint"]
    assert (straight["step"], straight["stopped_early_at"], straight["n_evaluations"]) == (2, 6, 3)
    moved = Path(shutil.copytree(tmp_path / "run", tmp_path / "moved"))
    shutil.rmtree(tmp_path / "run")
    mark_started(moved)
    for step in range(resumed_at + 2, 9, 2):
        shutil.rmtree(moved / f"checkpoint-{step}", ignore_errors=True)
    assert train(moved, f"{keys} --resume")["best_checkpoint"] == straight
    assert max(one["step"] for one in read_json(moved / "trainer_state.json")["log_history"]) == 6
    assert [line["step"] for line in read_jsonl(moved / "best_checkpoint.jsonl")] == [2, 4, 6]


@pytest.mark.usefixtures("worsening")
def test_a_best_checkpoint_that_was_torn_is_not_chosen_again(train, tmp_path, capsys):
    run = tmp_path / "run"
    train(run, "--keep_best chrf")
    shutil.rmtree(run / "checkpoint-8")
    (run / "checkpoint-2" / "adapter_model.safetensors").write_bytes(b"")
    mark_started(run)
    assert train(run, "--keep_best chrf --resume")["best_checkpoint"]["step"] == 8
    assert "the best checkpoint so far is not whole (checkpoint-2: " in capsys.readouterr().out


@pytest.mark.usefixtures("worsening")
@pytest.mark.parametrize("how", ["full", "modules_to_save"])
def test_all_that_is_trained_comes_back_from_the_best_checkpoint(train, tmp_path, how):
    """A tied model in full; a head saved with an adapter; rows of new tokens are in every other test."""
    more = "--use_peft false" if how == "full" else "--lora_modules_to_save lm_head --save_total_limit 1"
    base = bare_base(tmp_path / "base", tied=how == "full")
    record = train(tmp_path / "run", f"--keep_best chrf {more}", model=base)["best_checkpoint"]
    assert record["step"] == 2
    assert record["n_tensors_equal"] > 10
    name = "model.safetensors" if how == "full" else "adapter_model.safetensors"
    kept, saved = (load_file(folder / name) for folder in (tmp_path / "run" / "checkpoint-2", tmp_path / "run"))
    assert kept.keys() == saved.keys()
    assert all(torch.equal(kept[key], saved[key]) for key in kept)


@pytest.mark.usefixtures("worsening")
def test_weights_that_are_not_the_best_ones_stop_the_run(train, tmp_path, monkeypatch):
    """As where the best adapter is not loaded, which transformers only warns of."""
    from transformers import Trainer

    monkeypatch.setattr(Trainer, "_load_best_model", lambda _: None)
    with pytest.raises(UserError, match=r"the weights in .*run are not those of checkpoint-2") as refused:
        train(tmp_path / "run", "--keep_best chrf")
    assert "which is whole" in str(refused.value.fix)


@pytest.mark.parametrize("batch", [3, 8])
def test_the_loss_is_that_of_the_tokens_in_any_batches(train, tmp_path, batch):
    rows = [{"instruction": f"Say {n}.", "output": f"{n} it is " * (1 + 9 * (n % 2))} for n in range(24)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    more = f"--keep_best loss --max_steps 2 --per_device_eval_batch_size {batch} --max_length 512"
    [only] = train(tmp_path / "run", f"{more} --dataset_name {path}")["best_checkpoint"]["evaluations"]
    assert only["value"] == pytest.approx(only["on_rows"]["value"], rel=1e-5)


def test_a_metric_without_rows_is_refused_before_the_run_begins(train, tmp_path):
    with pytest.raises(UserError, match="keep_best: numeric_answer applies to 0 of 8 held-out rows"):
        train(tmp_path / "run", f"--keep_best {KeepBest.NUMERIC_ANSWER}")
    assert not (tmp_path / "run").exists()


def test_fewer_rows_are_drawn_and_the_rest_is_counted(train, tmp_path):
    record = train(tmp_path / "run", "--keep_best stopped_by_itself --keep_best_rows 3 --max_steps 2")
    assert record["best_checkpoint"]["held_out_rows"] == {"n": 3, "left_out": {"not drawn": 5}}
    assert record["metrics"]["eval_stopped_by_itself"] == record["best_checkpoint"]["value"]


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap (bwrap) is not installed")
def test_code_is_run_in_the_sandbox(train, tmp_path, monkeypatch):
    def answers(_: Any, prompts: list[Any], *__: Any, **___: Any) -> list[list[Answer]]:
        return [[Answer(f"def f(x): return x + {n}", 8, False, ())] for n in range(len(prompts))]

    monkeypatch.setattr(held_out_measures, "generate_answers", answers)
    rows = [{"instruction": f"Write a Python function f(x), {n}.", "output": "def f(x): pass",
             "tests": ["assert f(1) == 2"]} for n in range(6)]  # fmt: skip
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    more = f"--keep_best passes_tests --run_code --dataset_name {path} --test_split_size 3 --max_steps 2"
    assert train(tmp_path / "run", more)["best_checkpoint"]["value"] == pytest.approx(1 / 3)  # the second adds 1


@pytest.mark.slow
def test_preferences_and_pretraining_keep_the_lowest_loss_too(base, tmp_path):
    keys = KEYS.replace("--eval_strategy no ", "").replace("--save_strategy no ", "") + " --keep_best loss --patience 9"
    pairs = [{"prompt": f"Say {n}.", "chosen": f"{n} it is", "rejected": "no"} for n in range(12)]
    pairs_file = write_jsonl(tmp_path / "pairs.jsonl", pairs)
    dpo.main(f"--model_name_or_path {base} --dataset_name {pairs_file} --test_split_size 4 --use_peft --max_steps 4 "
             f"--eval_steps 2 --doctor off {keys} --output_dir {tmp_path / 'dpo'}".split())  # fmt: skip
    (tmp_path / "corpus.txt").write_text("\n\n".join(f"{n} it is, and so on." for n in range(200)))
    pretrain.main(f"--model_name_or_path {base} --dataset_name {tmp_path / 'corpus.txt'} --max_steps 4 --eval_steps 2 "
                  f"--doctor off --save_dtype bfloat16 {keys.replace('--max_length 128', '--max_length 32')} "
                  f"--output_dir {tmp_path / 'pretrain'}".split())  # fmt: skip
    for name in ("dpo", "pretrain"):
        record = record_of(tmp_path / name)["best_checkpoint"]
        assert record["value"] == min(one["value"] for one in record["evaluations"])
        assert [one["step"] for one in record["evaluations"]] == [2, 4]
        assert record["n_tensors_equal"] > 10
