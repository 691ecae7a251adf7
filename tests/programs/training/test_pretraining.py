"""pretrain.py on corpora that are streamed and mixed: continued whole, by LoRA and by QLoRA, interrupted, resumed."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipelines.errors import UserError
from pipelines.inference.loading import load_for_inference
from pipelines.pretrain import main
from tests.conftest import PROJECT, RunCli, one_line_error

FROM_SCRATCH = """
model_type: gpt2
model_config: {n_embd: 32, n_layer: 2, n_head: 2, n_positions: 64}
"""  # gpt2 has dropout: a resumed run must find the generator where it was
PACE = """
max_length: 32
max_steps: 6
per_device_train_batch_size: 8
learning_rate: 3.0e-3
logging_steps: 1
save_strategy: steps
save_steps: 3
n_validation_documents: 8
report_to: none
disable_tqdm: true
"""

Pretrain = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """code.jsonl, prose.jsonl and recipe files."""
    folder = tmp_path_factory.mktemp("corpora")
    lines = {"code": "def f{0}(x):\n    return x + {0}\n", "prose": "Once upon a time there were {0} kings. "}
    for name, line in lines.items():
        rows = [{"content": line.format(n) * (1 + n % 4)} for n in range(160)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    mixture = "".join(
        f"  - {{path: {folder}/{name}.jsonl, columns: [content], weight: {weight}}}\n"
        for name, weight in (("code", 0.8), ("prose", 0.2))
    )
    (folder / "scratch.yaml").write_text(f"{FROM_SCRATCH}{PACE}datasets:\n{mixture}streaming: true\n")
    (folder / "continue.yaml").write_text(f"{PACE}datasets:\n{mixture}streaming: true\n")
    return folder


def pretrain(*arguments: str | Path) -> dict[str, Any]:
    """Run the program in this process; run.json of its folder."""
    words = [str(argument) for argument in arguments]
    main(words)
    return json.loads((Path(words[words.index("--output_dir") + 1]) / "run.json").read_text())


def logs_of(folder: Path, key: str) -> list[float]:
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [entry[key] for entry in history if key in entry]


@pytest.fixture(scope="module")
def scratch(corpora: Path, tiny_model_folder: Path) -> Path:
    """A GPT-2 trained for six steps on the streamed mixture."""
    pretrain("--config", corpora / "scratch.yaml", "--tokenizer_name_or_path", tiny_model_folder,
             "--output_dir", corpora / "scratch")  # fmt: skip
    return corpora / "scratch"


def test_a_streamed_mixture_is_trained_on_in_its_shares_and_recorded(scratch: Path) -> None:
    record = json.loads((scratch / "run.json").read_text())
    code, prose = record["dataset"]["parts"]
    assert record["n_tokens"] == 6 * 8 * 32
    assert code["n_tokens"] / (code["n_tokens"] + prose["n_tokens"]) == pytest.approx(0.8, abs=0.1)
    assert 0 <= code["n_tokens"] + prose["n_tokens"] - record["n_tokens"] < 120
    samples = [json.loads(line) for line in (scratch / "samples.jsonl").read_text().splitlines()]
    assert [sample["prompt"][:5] for sample in samples] == ["def f"] * 3
    assert logs_of(scratch, "loss")[-1] < logs_of(scratch, "loss")[0]
    held_out = record["metrics"]["held_out_bits_per_byte"]
    assert list(held_out) == [code["path"], prose["path"]]
    assert all("before" not in figures and figures["after"]["n"] == 8 for figures in held_out.values())


def test_a_streamed_run_that_was_interrupted_ends_with_the_same_weights(
    scratch: Path, corpora: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    """The run is cut back to its checkpoint of step 3, as a power cut after it would leave it."""
    folder = tmp_path / "scratch"
    shutil.copytree(scratch, folder)
    shutil.rmtree(folder / "checkpoint-6")
    straight = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**straight, "status": "started"}))
    command = ("--config", corpora / "scratch.yaml", "--tokenizer_name_or_path", tiny_model_folder,
               "--output_dir", folder, "--resume")  # fmt: skip
    resumed = pretrain(*command)
    before, after = (load_file(f / "model.safetensors") for f in (scratch, folder))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert resumed["dataset"]["parts"] == straight["dataset"]["parts"]
    assert logs_of(folder, "loss") == logs_of(scratch, "loss")
    (folder / "checkpoint-3" / "corpus_state.json").unlink()
    shutil.rmtree(folder / "checkpoint-6")
    (folder / "run.json").write_text(json.dumps({**straight, "status": "started"}))
    with pytest.raises(UserError, match=r"has no corpus_state\.json"):
        pretrain(*command)


def test_continued_whole_it_says_what_it_did_to_held_out_text(
    scratch: Path, corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = pretrain("--config", corpora / "continue.yaml", "--model_name_or_path", scratch, "--max_steps", "12",
                      "--output_dir", tmp_path / "more", "--save_strategy", "no")  # fmt: skip
    assert record["base"]["fingerprint"].startswith("sha256:")
    code, prose = record["metrics"]["held_out_bits_per_byte"].values()
    assert code["relative"]["ci95"][1] < 0
    assert code["relative"]["value"] == pytest.approx(code["after"]["value"] / code["before"]["value"] - 1)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("held-out bits per byte")]
    values = [code[when]["value"] for when in ("before", "after")]
    assert lines[0].startswith("held-out bits per byte {:.4f} -> {:.4f} (-".format(*values))
    assert f"of {corpora}/prose.jsonl {prose['before']['value']:.4f} -> " in lines[1]


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_an_adapter_is_trained_on_a_corpus_and_opens_for_inference(
    method: str, corpora: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    flags = ["--load_in_4bit", "true"] if method == "qlora" else ["--activation_checkpointing", "true"]
    record = pretrain("--config", corpora / "continue.yaml", "--model_name_or_path", tiny_model_folder,
                      "--output_dir", tmp_path / "run", "--use_peft", "true", "--lora_r", "8", "--learning_rate",
                      "3e-2", "--lora_dropout", "0", "--save_strategy", "no", *flags)  # fmt: skip
    assert not (tmp_path / "run" / "model.safetensors").exists()
    figures = next(iter(record["metrics"]["held_out_bits_per_byte"].values()))
    assert figures["relative"]["ci95"][1] < 0
    loaded = load_for_inference(str(tmp_path / "run"))
    moved = [p for name, p in loaded.model.named_parameters() if "lora_B" in name]
    assert len(moved) == 14
    assert all(p.abs().max() > 0 for p in moved)
    assert (tmp_path / "run" / "tokenizer_config.json").is_file()


def test_warmup_stable_decay_is_flat_and_then_falls(corpora: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    pretrain("--config", corpora / "scratch.yaml", "--tokenizer_name_or_path", tiny_model_folder, "--output_dir",
             tmp_path / "run", "--save_strategy", "no", "--max_steps", "8", "--lr_scheduler_type",
             "warmup_stable_decay", "--lr_scheduler_kwargs", "{num_decay_steps: 3, decay_type: linear}",
             "--warmup_steps", "2")  # fmt: skip
    rates = [rate / 3e-3 for rate in logs_of(tmp_path / "run", "learning_rate")]
    assert rates == pytest.approx([0, 0.5, 1, 1, 1, 1, 2 / 3, 1 / 3])


def test_two_processes_share_a_stream_without_reading_anything_twice(
    corpora: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    """Two processes with half the batch each train on what one trains on."""
    keys = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}
    keys |= {"resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0}
    arguments = ["--config", corpora / "scratch.yaml", "--tokenizer_name_or_path", tiny_model_folder, "--max_steps",
                 "2", "--save_strategy", "no", "--bf16", "false", "--model_config", json.dumps(keys)]  # fmt: skip
    one = pretrain(*arguments, "--output_dir", tmp_path / "one")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
               "pipelines/pretrain.py", *arguments, "--per_device_train_batch_size", "2",
               "--gradient_accumulation_steps", "2", "--output_dir", tmp_path / "two"]  # fmt: skip
    done = subprocess.run(list(map(str, command)), cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    two = json.loads((tmp_path / "two" / "run.json").read_text())
    assert two["dataset"]["parts"] == one["dataset"]["parts"]
    assert two["n_tokens"] == one["n_tokens"]
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--model_type", "lama"], "did you mean llama?"),
        (["--model_type", "vit"], "which ViTConfig has not"),
        (["--model_config", "{hiden_size: 8}"], "hiden_size"),
        (["--model_config", "{n_embd: 33, n_head: 2}"], "model_type gpt2 can be built"),
        (["--model_config", "{n_embd: much}"], "n_embd"),
        (["--model_config", "8"], "expected a mapping"),
        (["--max_length", "128", "--doctor", "off"], "max_position_embeddings"),
        (["--model_name_or_path", "some/model"], "the recipe has both"),
        (["--tokenizer_name_or_path", "null"], "tokenizer_name_or_path is missing"),
        (["--tokenizer_name_or_path", "no/tokenizer"], "no/tokenizer"),
        (["--use_peft", "true"], "no base to adapt"),
        (["--load_in_4bit", "true"], "use_peft: true"),
        (["--save_dtype", "int8"], "save_dtype"),
        (["--dtype", "int8"], "`dtype` is 'int8', expected one of"),
        (["--lr_scheduler_type", "warmup_stable_decay"], "num_decay_steps"),
        (["--lr_scheduler_type", "cosine", "--lr_scheduler_kwargs", "{num_cycle: 1}"], "num_cycle"),
        (["--lr_scheduler_type", "warmup_stable_decay", "--lr_scheduler_kwargs", "{num_decay_steps: 9}"], "decay (9)"),
        (["--max_steps", "-1"], "max_steps is not set"),
    ],
)
def test_a_recipe_that_cannot_work_is_one_line_before_any_step(
    flags: list[str], complaint: str, corpora: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as raised:
        pretrain("--config", corpora / "scratch.yaml", "--tokenizer_name_or_path", tiny_model_folder,
                 "--output_dir", tmp_path / "run", *flags)  # fmt: skip
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_an_unknown_model_type_is_one_line_on_the_terminal(
    corpora: Path, tiny_model_folder: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    done = run_cli("pipelines/pretrain.py", "--config", corpora / "scratch.yaml", "--tokenizer_name_or_path",
                   tiny_model_folder, "--output_dir", tmp_path / "run", "--model_type", "lama", expect=2)  # fmt: skip
    assert "did you mean llama?" in one_line_error(done)
