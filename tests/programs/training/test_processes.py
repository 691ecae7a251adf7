"""Two processes train as one does with the same global batch: by DDP, and sharded by FSDP2."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.conftest import PROJECT, RunCli, one_line_error
from tests.processes.places import Place, run, start
from tests.run_files import logged, mark_started, read_json, record_of, same_weights, write_jsonl

_ALL = (
    "--bf16 false --dtype float32 --activation_checkpointing false --report_to none --disable_tqdm true "
    "--logging_steps 1 --max_steps 4 --learning_rate 1e-2 --max_length 128"
)
_LORA = "--use_peft --lora_r 4 --lora_dropout 0"
# 30 rows of 40 are trained and 10 held out, so that the last batch of either is not full
_EVALUATES = "--test_split_size 10 --per_device_eval_batch_size 4 --eval_strategy steps --eval_steps 2 --n_samples 2"
_SAVES = "--save_strategy steps --save_steps 2"
# TRL counts the rows that accelerate repeats in the last batch; times differ
_COUNTED_TWICE = ("num_tokens", "mean_token_accuracy", "entropy", "runtime", "second")
KINDS = {
    # 160 tokens: the two processes need different numbers of micro-batches in a step, and FSDP waits for each
    "lora": f"sft {_LORA} {_EVALUATES} {_SAVES} --max_tokens_per_micro_batch 160 --doctor warn",
    "full": f"sft {_SAVES} --eval_strategy no --doctor off",
    "dpo": f"dpo {_LORA} --max_steps 3 --test_split_size 8 --eval_strategy epoch --save_strategy no --doctor off",
    "pretrain": "pretrain --save_strategy no --doctor off --n_samples 0",
}
ROWS = [
    {"instruction": f"Add {n}", "output": " ".join(f"{n + k}" for k in range(1 + 7 * n % 23))} for n in range(40)
]  # fmt: skip


class Runs:
    """The runs of KINDS at each place, made when they are asked for, in a folder of each process."""

    def __init__(self, folder: Path, base: Path, run_cli: RunCli) -> None:
        self.folder, self.base, self.run_cli = folder, base, run_cli
        self.printed: dict[Place, str] = {}
        pairs = [{"prompt": one["instruction"], "chosen": one["output"], "rejected": "no"} for one in ROWS]
        (folder / "corpus.txt").write_text("\n\n".join(one["output"] for one in ROWS) * 4)
        self.rows = {"sft": write_jsonl(folder / "rows.jsonl", ROWS), "dpo": write_jsonl(folder / "pairs.jsonl", pairs),
                     "pretrain": folder / "corpus.txt"}  # fmt: skip

    def calls(self, place: Place, kinds: Any, more: str = "") -> Path:
        """The file for several_runs.py, in a folder of its own."""
        calls, batch = [], "8" if place is Place.ONE else "4"
        for kind in kinds:
            program, *keys = f"{KINDS[kind]} {more}".split()
            inputs = ["--model_name_or_path", str(self.base), "--dataset_name", str(self.rows[program])]
            calls.append(
                [program, *inputs, "--output_dir", kind, "--per_device_train_batch_size", batch, *_ALL.split(), *keys]
            )
        path = self.folder / place.name / "calls.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(calls))
        return path

    def start(self, place: Place, calls: Path, *, cold: bool) -> str:
        """What several_runs.py printed."""
        program: list[str | Path] = ["tests/processes/several_runs.py", calls]
        if cold:
            return run(place, program)
        if place is Place.FSDP2:
            program = ["tests/processes/fsdp_on_processors.py", PROJECT / "accelerate_configs/fsdp2.yaml", *program]
        done = self.run_cli(*program, n_processes=1 if place is Place.ONE else 2)
        return done.stdout + done.stderr

    def at(self, place: Place) -> Path:
        """The folder of the first process at `place`, whose runs are done."""
        if place not in self.printed:  # DDP cold, by torch.distributed.run
            self.printed[place] = self.start(place, self.calls(place, KINDS), cold=place is Place.DDP)
        return self.folder / place.name / "rank0"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path, run_cli: RunCli) -> Runs:
    return Runs(tmp_path_factory.mktemp("places"), tiny_model_folder, run_cli)


both = pytest.mark.parametrize("place", [Place.DDP, Place.FSDP2])
each_kind = pytest.mark.parametrize("kind", KINDS)


@both
@each_kind
def test_two_processes_have_the_losses_and_the_metrics_of_one(runs, place, kind):
    one, two = (runs.at(where) / kind for where in (Place.ONE, place))
    assert logged(two, "loss") == pytest.approx(logged(one, "loss"), rel=1e-4)
    measured = {
        name: value
        for name, value in record_of(one)["metrics"].items()
        if name.startswith("eval_") and not name.endswith(_COUNTED_TWICE)
    }
    record = record_of(two)
    assert (record["status"], record["n_processes"]) == ("finished", 2)
    assert read_json(two / "lock.json")["parallelism"] == ("ddp" if place is Place.DDP else "fsdp")
    found = record["metrics"]
    compared = measured.keys() & found.keys()
    assert {name: found[name] for name in compared} == pytest.approx(
        {name: measured[name] for name in compared}, rel=1e-3, abs=1e-3
    )
    assert kind == "full" or "eval_loss" in compared


@both
def test_the_saved_models_are_those_of_one_process_and_load_in_one(runs, place):
    for kind, name in (("full", "model"), ("lora", "adapter_model")):
        one, two = (load_file(runs.at(where) / kind / f"{name}.safetensors") for where in (Place.ONE, place))
        more = {"lm_head.weight"} if place is Place.FSDP2 and kind == "full" else set()  # tied, and saved twice
        assert one.keys() == two.keys() - more
        assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-4
    AutoModelForCausalLM.from_pretrained(runs.at(place) / "full")


@both
def test_only_the_first_process_writes(runs, place):
    """Each process has its own current folder, so that the second one's files are seen whatever wrote them."""
    second = runs.at(place).parent / "rank1"
    assert sorted({path.name for path in second.rglob("*") if path.is_file()}) == ["rng_state_1.pth", "sums_1.pt"]


@both
def test_what_happens_once_is_said_once(runs, place):
    runs.at(place)
    said = runs.printed[place]
    assert said.count("no accelerator found: training on the CPU in 2 processes") == len(KINDS)
    assert said.count("step 4/4") == said.count("trained to step 4") == len(KINDS) - 1  # and dpo to step 3
    assert said.count("ledger: ") == len(KINDS) - 1  # pretraining has none
    assert said.count("RUN_TOO_SHORT") == 1  # a warning of the doctor


def test_sharded_weights_have_no_samples_and_say_so(runs):
    assert record_of(runs.at(Place.DDP) / "lora")["row_losses"]["mean"] == pytest.approx(
        record_of(runs.at(Place.ONE) / "lora")["row_losses"]["mean"], rel=1e-4
    )
    assert "shards" in record_of(runs.at(Place.FSDP2) / "lora")["row_losses"]["reason"]


@both
def test_two_processes_resume_to_the_same_bits_and_one_process_is_refused(runs, place, tmp_path, run_cli):
    """The folder is what two processes on one disk leave that were killed after step 2."""
    straight, begun = runs.at(place) / "full", tmp_path / "full"
    for rank in ("rank0", "rank1"):
        shutil.copytree(straight.parents[1] / rank / "full", begun, dirs_exist_ok=True)
    shutil.rmtree(begun / "checkpoint-4")
    (begun / "model.safetensors").unlink()
    mark_started(begun)
    [[program, *arguments]] = read_json(runs.calls(Place.ONE, ["full"], f"--resume --output_dir {begun}"))
    alone = [f"pipelines/{program}.py", *arguments]
    refused = one_line_error(run_cli(*alone, expect=2))
    assert re.search("began with .*n_processes: 2; the recipe now has .*n_processes: 1;", refused)
    runs.start(place, runs.calls(place, ["full"], f"--resume --output_dir {begun}"), cold=False)
    assert same_weights(begun, straight, "model.safetensors")


def test_an_error_of_all_processes_is_said_by_one():
    [launcher] = start(Place.DDP, ["pipelines/sft.py", "--learnig_rate", "1"])
    said, _ = launcher.communicate(timeout=120)
    assert launcher.returncode != 0
    assert said.count("did you mean `learning_rate`?") == 1
