"""Every method trains what it says it trains, and what it saves is what was trained."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import ModelConfig, SFTConfig

from pipelines.errors import UserError
from pipelines.recipe import parse_recipe
from pipelines.recipe.arguments import InstructionArguments
from pipelines.training.data.instruction_set import instruction_set
from pipelines.training.data.rows import recipe_rows
from pipelines.training.fine_tuning import load_bundle, load_training_tokenizer, save_trained, sft_trainer
from pipelines.training.starting_point import starting_point
from tests.run_files import adapter_weights, read_json, record_of, same_weights, write_jsonl
from tests.training.sft_runs import KEYS, LORA, ROWS, bare_base

RunSft = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("more", "setting"),
    [
        ("", {"use_rslora": False, "use_dora": False}),
        ("--use_rslora", {"use_rslora": True}),
        ("--use_dora", {"use_dora": True}),
        ("--neftune_noise_alpha 5", {}),
        ("--load_in_4bit --use_dora", {"use_dora": True}),
        ("--load_in_4bit", {}),
        ("--load_in_8bit", {}),
    ],
    ids=["lora", "rslora", "dora", "neftune", "qdora", "qlora", "8bit"],
)
def test_an_adapter_moves_everywhere(base, run_sft, tmp_path, more, setting):
    before = (base / "model.safetensors").read_bytes()
    assert run_sft(tmp_path, f"{LORA} {more}")["status"] == "finished"
    config, weights = read_json(tmp_path / "adapter_config.json"), adapter_weights(tmp_path)
    assert {key: config[key] for key in setting} == setting
    b_matrices = [name for name in weights if "lora_B" in name]
    assert len(b_matrices) == 2 * 7  # q, k, v, o, gate, up, down in each of two layers
    assert all(weights[name].abs().max() > 0 for name in b_matrices)
    assert any("lora_magnitude" in name for name in weights) == bool(setting.get("use_dora"))
    assert (base / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "n_steps", "part", "share"),
    [
        # in bfloat16, as TRL has it, steps of a preference tuning would round away
        ("--load_in_4bit --learning_rate 5e-6 --lr_scheduler_type constant", 9, "lora_A", 0.5),
        ("--use_dora", 3, "magnitude", 0.0),
    ],
    ids=["small steps on a 4-bit base", "magnitudes of DoRA"],
)
def test_more_steps_move_all(run_sft, tmp_path, more, n_steps, part, share):
    for steps in (1, n_steps):
        run_sft(tmp_path / str(steps), f"{LORA} {more} --max_steps {steps} --num_train_epochs 9")
    one, last = (adapter_weights(tmp_path / str(steps)) for steps in (1, n_steps))
    moved = {name: float((one[name] != last[name]).float().mean()) for name in one if part in name}
    assert min(moved.values()) > share, moved


def test_neftune_changes_the_course_of_training(run_sft, tmp_path):
    losses = []
    for number, more in enumerate(("", "--neftune_noise_alpha 5", "--neftune_noise_alpha 5")):
        losses.append(run_sft(tmp_path / str(number), f"{LORA} {more}")["metrics"]["train_loss"])
    assert losses[0] != losses[1] == losses[2]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_saved_adapter_with_new_tokens_is_the_trained_one_in_plain_peft(tmp_path, tied):
    base = bare_base(tmp_path / "base", tied=tied)
    same_answer = write_jsonl(tmp_path / "rows.jsonl", ({**row, "output": "so it is"} for row in ROWS))
    named = f"--model_name_or_path {base} --dataset_name {same_answer} --output_dir {tmp_path}/run"
    command = f"{named} {KEYS} {LORA} --max_steps 150 --learning_rate 5e-3 --lora_r 32".split()
    data, training, model = parse_recipe([InstructionArguments, SFTConfig, ModelConfig], command).arguments
    start = starting_point(model, None)
    tokenizer, new_tokens = load_training_tokenizer(start, training, conversational=True)
    assert new_tokens == ["<|im_start|>", "<|im_end|>"]
    rows = instruction_set(*recipe_rows(data, 0, evaluates=False), data, training)
    train, _, _ = rows.tokenize(tokenizer)
    trainer = sft_trainer(load_bundle(start, model, training, tokenizer, new_tokens), training, train, None)
    trainer.train()
    save_trained(trainer, tmp_path / "run")
    saved = adapter_weights(tmp_path / "run")
    assert not any(name.endswith(("embed_tokens.weight", "lm_head.weight")) for name in saved)
    assert isinstance(trainer.model, PeftModel)
    trainer.model.eval()
    prompt = [{"role": "user", "content": "Say 7."}]
    ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_tensors="pt", return_dict=False)
    with torch.no_grad():
        torch.save(trainer.model(ids).logits, tmp_path / "logits.pt")
    code = (
        "import sys, torch; from peft import AutoPeftModelForCausalLM\n"
        "from transformers import AutoTokenizer, GenerationConfig\n"
        "folder, logits = sys.argv[1:]\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder); torch.manual_seed(99)\n"
        "model = AutoPeftModelForCausalLM.from_pretrained(folder).eval()\n"
        "prompt = [{'role': 'user', 'content': 'Say 7.'}]\n"
        "ids = tokenizer.apply_chat_template(\n"
        "    prompt, add_generation_prompt=True, return_tensors='pt', return_dict=False)\n"
        "with torch.no_grad(): ours = model(ids).logits\n"
        "stops = GenerationConfig.from_pretrained(folder, max_new_tokens=40, do_sample=False)\n"
        "answer = model.generate(ids, generation_config=stops)[0, ids.shape[1]:].tolist()\n"
        "print(float((ours - torch.load(logits)).abs().max()), tokenizer.decode(answer), sep='|', end='')"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run"), str(tmp_path / "logits.pt")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    difference, _, answer = done.stdout.partition("|")
    assert float(difference) <= 1e-4
    assert answer[0] == "s"
    assert answer.index("<|im_end|>") == len(answer) - len("<|im_end|>")


def test_tied_heads_stay_tied_when_modules_are_saved_whole(base, run_sft, tmp_path):
    run_sft(tmp_path, f"{LORA} --lora_modules_to_save embed_tokens")
    assert read_json(tmp_path / "adapter_config.json")["ensure_weight_tying"]
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(len(AutoTokenizer.from_pretrained(tmp_path)))
    loaded = PeftModel.from_pretrained(model, tmp_path)
    assert torch.equal(loaded.get_output_embeddings().weight, loaded.get_input_embeddings().weight)


def test_the_same_seed_gives_the_same_adapter(run_sft, tmp_path):
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        run_sft(tmp_path / name, f"{LORA} --lora_dropout 0.1 --seed {seed}")
    assert same_weights(tmp_path / "one", tmp_path / "same")
    assert not same_weights(tmp_path / "one", tmp_path / "other")


def test_plain_text_keeps_the_end_of_the_base_which_must_have_one(base, run_sft, tmp_path):
    path = write_jsonl(tmp_path / "text.jsonl", ({"text": row["output"]} for row in ROWS))
    run_sft(tmp_path / "run", LORA, path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run")
    assert (tokenizer.chat_template, tokenizer.eos_token) == (None, "<|endoftext|>")
    shutil.copytree(base, tmp_path / "endless")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path / "endless")
    with pytest.raises(UserError, match="set eos_token in the recipe"):
        run_sft(tmp_path / "other", f"{LORA} --model_name_or_path {tmp_path}/endless", path)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("--eos_token <|endoftext|>", "ends a turn with"),
        ("--packing --packing_strategy wrapped", "keep examples apart"),
        ("--max_length 8", "longer_than_max_length"),
        ("--long_rows error --max_length 8", "row 0 has"),
        ("--dataset_text_field body", "has the columns question, answer"),
    ],
)
def test_what_cannot_work_is_refused(run_sft, tmp_path, more, complaint):
    other_rows = {"rows": write_jsonl(tmp_path / "rows.jsonl", [{"question": "q", "answer": "a"}])}
    with pytest.raises(UserError, match=complaint):
        run_sft(tmp_path / "run", f"{LORA} --doctor off {more}", **(other_rows if "body" in more else {}))


def test_a_base_of_an_unknown_model_type_is_one_line(base, run_sft, tmp_path):
    other = Path(shutil.copytree(base, tmp_path / "base"))
    (other / "config.json").write_text(json.dumps({**read_json(base / "config.json"), "model_type": "lamma"}))
    with pytest.raises(UserError, match="lamma"):
        run_sft(tmp_path / "run", f"{LORA} --model_name_or_path {other}")


def test_a_run_that_diverges_is_one_line_and_saves_nothing(base, run_sft, tmp_path):
    broken = Path(shutil.copytree(base, tmp_path / "base"))
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(float("inf"))
    model.save_pretrained(broken)
    with pytest.raises(UserError, match=r"not finite: .* was not before it; check"):
        run_sft(tmp_path / "run", f"{LORA} --model_name_or_path {broken}")
    assert not (tmp_path / "run" / "adapter_model.safetensors").exists()
    assert record_of(tmp_path / "run")["status"] == "failed"


def test_tokens_beyond_the_embeddings_are_trained(tiny_model_folder, tmp_path):
    """A base with a template of its own, whose tokenizer was given a token that its embeddings have not."""
    base = Path(shutil.copytree(tiny_model_folder, tmp_path / "base"))
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|later|>"]}, replace_extra_special_tokens=False)
    tokenizer.save_pretrained(base)
    arguments = ModelConfig(model_name_or_path=str(base), use_peft=True)
    training = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none")
    start = starting_point(arguments, None)
    tokenizer, new_tokens = load_training_tokenizer(start, training, conversational=True)
    assert new_tokens == []
    lora = load_bundle(start, arguments, training, tokenizer, new_tokens).lora
    assert lora is not None
    assert lora.trainable_token_indices == {"embed_tokens": [tokenizer.convert_tokens_to_ids("<|later|>")]}
