"""pretrain.py on corpora that are streamed and mixed: continued whole, by LoRA and by QLoRA, interrupted, resumed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from pipelines.errors import UserError
from pipelines.inference.loading import load_for_inference
from pipelines.pretrain import main
from pipelines.records.checkpoint import seal_checkpoint
from tests.run_files import logged, mark_started, read_jsonl, record_of, same_weights, write_jsonl

SIZES = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
FROM_SCRATCH = {"model_type": "gpt2", "model_config": SIZES}  # its dropout draws from the restored generator
KEYS = {
    "max_length": 32, "max_steps": 6, "per_device_train_batch_size": 8, "learning_rate": 3e-3, "logging_steps": 1,
    "save_strategy": "steps", "save_steps": 3, "n_validation_documents": 8, "report_to": "none", "disable_tqdm": True,
    "streaming": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """code.jsonl, prose.jsonl and recipe files."""
    folder = tmp_path_factory.mktemp("corpora")
    lines = {"code": "def f{0}(x):\n    return x + {0}\n", "prose": "Once upon a time there were {0} kings. "}
    for name, line in lines.items():
        rows = [{"content": line.format(n) * (1 + n % 4)} for n in range(160)]
        write_jsonl(folder / f"{name}.jsonl", rows)
    parts = [{"path": f"{folder}/{name}.jsonl", "columns": ["content"]} for name in lines]
    keys = {**KEYS, "datasets": [{**part, "weight": w} for part, w in zip(parts, (0.8, 0.2), strict=True)]}
    (folder / "scratch.yaml").write_text(yaml.safe_dump({**FROM_SCRATCH, **keys}))
    (folder / "continue.yaml").write_text(yaml.safe_dump(keys))
    return folder


def pretrain(recipe: Path, output: Path, *more: str | Path) -> dict[str, Any]:
    """Run the program in this process; run.json of its folder."""
    main([str(word) for word in ("--config", recipe, "--output_dir", output, *more)])
    return record_of(output)


@pytest.fixture(scope="module")
def from_scratch(corpora: Path, tiny_model_folder: Path) -> Callable[..., dict[str, Any]]:
    tokenizer = ("--tokenizer_name_or_path", tiny_model_folder)
    return lambda output, *more: pretrain(corpora / "scratch.yaml", output, *tokenizer, *more)


@pytest.fixture(scope="module")
def scratch(corpora: Path, from_scratch: Any) -> Path:
    """A GPT-2 trained for six steps on the streamed mixture."""
    from_scratch(corpora / "scratch")
    return corpora / "scratch"


def test_a_streamed_mixture_is_trained_on_in_its_shares_and_recorded(scratch):
    record = record_of(scratch)
    code, prose = record["dataset"]["parts"]
    assert record["n_tokens"] == 6 * 8 * 32
    assert code["n_tokens"] / (code["n_tokens"] + prose["n_tokens"]) == pytest.approx(0.8, abs=0.1)
    assert 0 <= code["n_tokens"] + prose["n_tokens"] - record["n_tokens"] < 120
    assert [sample["prompt"][:5] for sample in read_jsonl(scratch / "samples.jsonl")] == ["def f"] * 3
    assert logged(scratch, "loss")[-1] < logged(scratch, "loss")[0]
    held_out = record["metrics"]["held_out_bits_per_byte"]
    assert list(held_out) == [code["path"], prose["path"]]
    assert all("before" not in figures and figures["after"]["n"] == 8 for figures in held_out.values())


def test_an_interrupted_stream_ends_with_the_same_weights(scratch, from_scratch, tmp_path):
    """The run is cut back to its checkpoint of step 3, as a power cut after it would leave it."""
    folder = Path(shutil.copytree(scratch, tmp_path / "scratch"))
    shutil.rmtree(folder / "checkpoint-6")
    mark_started(folder)
    resumed = from_scratch(folder, "--resume")
    assert same_weights(scratch, folder, "model.safetensors")
    assert resumed["dataset"]["parts"] == record_of(scratch)["dataset"]["parts"]
    assert logged(folder, "loss") == logged(scratch, "loss")
    (folder / "checkpoint-3" / "corpus_state.json").unlink()
    seal_checkpoint(folder / "checkpoint-3", {})
    shutil.rmtree(folder / "checkpoint-6")
    mark_started(folder)
    with pytest.raises(UserError, match=r"has no corpus_state\.json"):
        from_scratch(folder, "--resume")


def test_continued_pretraining_measures_held_out(scratch, corpora, tmp_path, capsys):
    more = ("--model_name_or_path", scratch, "--max_steps", "12", "--save_strategy", "no")
    record = pretrain(corpora / "continue.yaml", tmp_path / "more", *more)
    assert record["base"]["fingerprint"].startswith("sha256:")
    code, prose = record["metrics"]["held_out_bits_per_byte"].values()
    assert code["relative"]["ci95"][1] < 0
    assert code["relative"]["value"] == pytest.approx(code["after"]["value"] / code["before"]["value"] - 1)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("held-out bits per byte")]
    values = [code[when]["value"] for when in ("before", "after")]
    assert lines[0].startswith("held-out bits per byte {:.4f} -> {:.4f} (-".format(*values))
    assert f"of {corpora}/prose.jsonl {prose['before']['value']:.4f} -> " in lines[1]


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_an_adapter_is_trained_on_a_corpus(method, corpora, tiny_model_folder, tmp_path):
    flags = "--load_in_4bit true" if method == "qlora" else "--activation_checkpointing true"
    flags += " --use_peft true --lora_r 8 --learning_rate 3e-2 --lora_dropout 0 --save_strategy no"
    record = pretrain(
        corpora / "continue.yaml", tmp_path / "run", "--model_name_or_path", tiny_model_folder, *flags.split()
    )
    assert not (tmp_path / "run" / "model.safetensors").exists()
    figures = next(iter(record["metrics"]["held_out_bits_per_byte"].values()))
    assert figures["relative"]["ci95"][1] < 0
    loaded = load_for_inference(str(tmp_path / "run"))
    moved = [p for name, p in loaded.model.named_parameters() if "lora_B" in name]
    assert len(moved) == 14
    assert all(p.abs().max() > 0 for p in moved)
    assert (tmp_path / "run" / "tokenizer_config.json").is_file()


def test_warmup_stable_decay_is_flat_and_then_falls(from_scratch, tmp_path):
    flags = "--save_strategy no --max_steps 8 --warmup_steps 2 --lr_scheduler_type warmup_stable_decay"
    from_scratch(tmp_path, *flags.split(), "--lr_scheduler_kwargs", "{num_decay_steps: 3, decay_type: linear}")
    rates = [rate / 3e-3 for rate in logged(tmp_path, "learning_rate")]
    assert rates == pytest.approx([0, 0.5, 1, 1, 1, 1, 2 / 3, 1 / 3])


def test_two_ranks_share_a_stream(corpora, from_scratch, tiny_model_folder, tmp_path, run_cli):
    """Two processes with half the batch each train on what one trains on."""
    keys = json.dumps({**SIZES, "n_layer": 1, "resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0})
    flags = ["--max_steps", "2", "--save_strategy", "no", "--bf16", "false", "--model_config", keys]
    one = from_scratch(tmp_path / "one", *flags)
    run_cli("pipelines/pretrain.py", "--config", corpora / "scratch.yaml", "--tokenizer_name_or_path",
            tiny_model_folder, *flags, "--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "2",
            "--output_dir", tmp_path / "two", n_processes=2)  # fmt: skip
    two = record_of(tmp_path / "two")
    assert (two["dataset"]["parts"], two["n_tokens"]) == (one["dataset"]["parts"], one["n_tokens"])
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--model_type", "lama"], "did you mean llama?"),
        (["--model_type", "vit"], "which ViTConfig does not have"),
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
def test_a_wrong_recipe_is_one_line(flags, complaint, from_scratch, tmp_path):
    with pytest.raises(UserError) as raised:
        from_scratch(tmp_path / "run", *flags)
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()
