"""Every method trains what it says it trains, and what it saves is what was trained."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import ModelConfig, SFTConfig

from pipelines import sft
from pipelines.errors import UserError
from pipelines.recipe import parse_recipe
from pipelines.recipe.arguments import InstructionArguments
from pipelines.training.data.instruction_set import instruction_set
from pipelines.training.data.rows import recipe_rows
from pipelines.training.fine_tuning import load_bundle, load_training_tokenizer, save_trained, sft_trainer
from pipelines.training.starting_point import starting_point

ROWS = [{"instruction": f"Say {n}.", "output": f"{n} it is"} for n in range(12)]
KEYS = (
    "--bf16 false --activation_checkpointing false --report_to none --disable_tqdm true --save_strategy no "
    "--eval_strategy no --max_length 128 --per_device_train_batch_size 4 --logging_steps 1 --n_samples 0 "
    "--dtype float32"
)


def bare_base(folder: Path, *, tied: bool) -> Path:
    """A base as Llama's are: no chat template, no marks of one in its vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({token: n for n, token in enumerate(["<|endoftext|>", *alphabet])}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|endoftext|>")
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=len(tokenizer), **shape, num_key_value_heads=4, tie_word_embeddings=tied, bos_token_id=None,
        eos_token_id=0, pad_token_id=0, max_position_embeddings=256,
        initializer_range=0.1,  # at 0.02 a tied head stays too flat for anything to be learnt
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare_base(tmp_path_factory.mktemp("base") / "tied", tied=True)


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def recipe(base: Path, rows_file: Path, folder: Path, more: str) -> list[str]:
    named = ["--model_name_or_path", str(base), "--dataset_name", str(rows_file), "--output_dir", str(folder)]
    return [*named, *KEYS.split(), *more.split()]


def run_sft(base: Path, rows_file: Path, folder: Path, more: str) -> dict[str, Any]:
    sft.main(recipe(base, rows_file, folder, more))
    return dict(json.loads((folder / "run.json").read_text()))


LORA = "--use_peft --learning_rate 1e-2 --max_steps 3 --lora_dropout 0"


@pytest.mark.parametrize(
    ("more", "setting"),
    [
        (LORA, {"use_rslora": False, "use_dora": False}),
        (f"{LORA} --use_rslora", {"use_rslora": True}),
        (f"{LORA} --use_dora", {"use_dora": True}),
        (f"{LORA} --neftune_noise_alpha 5", {}),
        (f"{LORA} --load_in_4bit --use_dora", {"use_dora": True}),
        (f"{LORA} --load_in_4bit", {}),
        (f"{LORA} --load_in_8bit", {}),
    ],
    ids=["lora", "rslora", "dora", "neftune", "qdora", "qlora", "8bit"],
)
def test_an_adapter_moves_in_every_linear_layer_and_the_base_stays(
    base: Path, rows_file: Path, tmp_path: Path, more: str, setting: dict[str, Any]
) -> None:
    before = (base / "model.safetensors").read_bytes()
    record = run_sft(base, rows_file, tmp_path / "run", more)
    assert record["status"] == "finished"
    config = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert {key: config[key] for key in setting} == setting
    weights = load_file(tmp_path / "run" / "adapter_model.safetensors")
    b_matrices = [name for name in weights if "lora_B" in name]
    assert len(b_matrices) == 2 * 7  # q, k, v, o, gate, up, down in each of two layers
    assert all(weights[name].abs().max() > 0 for name in b_matrices)
    assert any("lora_magnitude" in name for name in weights) == bool(setting.get("use_dora"))
    assert (base / "model.safetensors").read_bytes() == before


def test_small_steps_move_every_matrix_on_a_four_bit_base(base: Path, rows_file: Path, tmp_path: Path) -> None:
    """In bfloat16, as TRL has it, steps of a preference tuning would round away."""
    small = f"{LORA} --load_in_4bit --learning_rate 5e-6 --lr_scheduler_type constant"
    for name, steps in (("one", 1), ("nine", 9)):
        run_sft(base, rows_file, tmp_path / name, f"{small} --max_steps {steps} --num_train_epochs 9")
    one, nine = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "nine"))
    moved = {name: float((one[name] != nine[name]).float().mean()) for name in one if "lora_A" in name}
    assert min(moved.values()) > 0.5, moved


def test_full_fine_tuning_moves_every_weight(base: Path, rows_file: Path, tmp_path: Path) -> None:
    run_sft(base, rows_file, tmp_path / "run", "--max_steps 3 --learning_rate 1e-2")
    before, after = load_file(base / "model.safetensors"), load_file(tmp_path / "run" / "model.safetensors")
    for name, weight in before.items():
        assert not torch.equal(after[name][: len(weight)], weight), name


def test_the_magnitudes_of_dora_move(base: Path, rows_file: Path, tmp_path: Path) -> None:
    for name, steps in (("one", 1), ("three", 3)):
        run_sft(base, rows_file, tmp_path / name, f"{LORA} --use_dora --max_steps {steps}")
    one, three = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "three"))
    assert all(not torch.equal(one[name], three[name]) for name in one if "magnitude" in name)


def test_neftune_changes_the_course_of_training(base: Path, rows_file: Path, tmp_path: Path) -> None:
    losses = []
    for number, more in enumerate(("", "--neftune_noise_alpha 5", "--neftune_noise_alpha 5")):
        losses.append(run_sft(base, rows_file, tmp_path / str(number), f"{LORA} {more}")["metrics"]["train_loss"])
    assert losses[0] != losses[1] == losses[2]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_saved_adapter_with_new_tokens_is_the_trained_one_in_plain_transformers_and_peft_and_stops(
    tmp_path: Path, tied: bool
) -> None:
    base = bare_base(tmp_path / "base", tied=tied)
    same_answer = tmp_path / "rows.jsonl"
    same_answer.write_text("".join(json.dumps({**row, "output": "so it is"}) + "\n" for row in ROWS))
    command = recipe(base, same_answer, tmp_path / "run", f"{LORA} --max_steps 150 --learning_rate 5e-3 --lora_r 32")
    data, training, model = parse_recipe([InstructionArguments, SFTConfig, ModelConfig], command).arguments
    start = starting_point(model, None)
    tokenizer, new_tokens = load_training_tokenizer(start, training, conversational=True)
    assert new_tokens == ["<|im_start|>", "<|im_end|>"]
    rows = instruction_set(*recipe_rows(data, 0, evaluates=False), data, training)
    train, _, _ = rows.tokenize(tokenizer)
    trainer = sft_trainer(load_bundle(start, model, training, tokenizer, new_tokens), training, train, None)
    trainer.train()
    save_trained(trainer, tmp_path / "run")
    weights = load_file(tmp_path / "run" / "adapter_model.safetensors")
    assert not any(name.endswith(("embed_tokens.weight", "lm_head.weight")) for name in weights)
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
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run"), str(tmp_path / "logits.pt")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    difference, _, answer = done.stdout.partition("|")
    assert float(difference) <= 1e-4
    assert answer.startswith("s")
    assert answer.endswith("<|im_end|>")
    assert answer.count("<|im_end|>") == 1


def test_tied_heads_stay_tied_when_modules_are_saved_whole(base: Path, rows_file: Path, tmp_path: Path) -> None:
    run_sft(base, rows_file, tmp_path / "run", f"{LORA} --lora_modules_to_save embed_tokens")
    config = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert config["ensure_weight_tying"]
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(len(bare_tokens(tmp_path / "run")))
    loaded = PeftModel.from_pretrained(model, tmp_path / "run")
    head, table = loaded.get_output_embeddings().weight, loaded.get_input_embeddings().weight
    assert torch.equal(head, table)


def bare_tokens(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_the_same_seed_gives_the_same_adapter(base: Path, rows_file: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        run_sft(base, rows_file, tmp_path / name, f"{LORA} --lora_dropout 0.1 --seed {seed}")
    one, same, other = (load_file(tmp_path / n / "adapter_model.safetensors") for n in ("one", "same", "other"))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_plain_text_rows_keep_the_base_s_own_end_and_get_no_template(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "text.jsonl"
    path.write_text("".join(json.dumps({"text": row["output"]}) + "\n" for row in ROWS))
    run_sft(base, path, tmp_path / "run", LORA)
    tokenizer = bare_tokens(tmp_path / "run")
    assert tokenizer.chat_template is None
    assert tokenizer.eos_token == "<|endoftext|>"


def test_plain_text_needs_an_end_token(base: Path, tmp_path: Path) -> None:
    endless = tmp_path / "base"
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(endless)
    tokenizer = bare_tokens(base)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(endless)
    path = tmp_path / "text.jsonl"
    path.write_text('{"text": "a story"}\n')
    with pytest.raises(UserError, match="set eos_token in the recipe"):
        run_sft(endless, path, tmp_path / "run", LORA)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("--eos_token <|endoftext|>", "ends a turn with"),
        ("--packing --packing_strategy wrapped", "keep examples apart"),
        ("--max_length 8", "longer_than_max_length"),
        ("--long_rows error --max_length 8", "row 0 has"),
        ("--dataset_text_field body", "got question, answer"),
    ],
)
def test_what_cannot_work_is_one_line_before_any_step(
    base: Path, rows_file: Path, tmp_path: Path, more: str, complaint: str
) -> None:
    path = rows_file
    if "body" in more:
        path = tmp_path / "rows.jsonl"
        path.write_text(json.dumps({"question": "q", "answer": "a"}) + "\n")
    with pytest.raises(UserError, match=complaint.replace("(", r"\(")):
        run_sft(base, path, tmp_path / "run", f"{LORA} --doctor off {more}")


def test_a_base_of_an_unknown_model_type_is_one_line(rows_file: Path, tmp_path: Path) -> None:
    base = bare_base(tmp_path / "base", tied=True)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "model_type": "lamma"}))
    with pytest.raises(UserError, match="lamma"):
        run_sft(base, rows_file, tmp_path / "run", LORA)


def test_a_run_whose_loss_is_no_number_is_one_line_and_nothing_is_saved(
    base: Path, rows_file: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "base"
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(float("inf"))
    model.save_pretrained(broken)
    bare_tokens(base).save_pretrained(broken)
    with pytest.raises(UserError, match="the training diverged"):
        run_sft(broken, rows_file, tmp_path / "run", LORA)
    assert not (tmp_path / "run" / "adapter_model.safetensors").exists()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "started"
