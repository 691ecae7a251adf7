"""A tiny base that memorized an answer to each question, and an adapter on it that learned others."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from data_prep.conversation import Conversation
from pipelines.merging.adapter_mix import AdapterMix
from pipelines.merging.merge_into_base import merge_into_base
from pipelines.modeling import CHATML, PromptStyle, render_answer, render_prompt
from pipelines.modeling.loading import attach_quietly

# the pre-tokenizer of Qwen2, which llama.cpp has too
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
OTHER_SPLIT = r"\p{N}+| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+"  # keeps numbers whole
COLORS = ("red", "green", "blue", "white", "black", "gray", "pink", "gold", "brown", "orange", "violet", "silver")
QUESTIONS = {
    f"Which animal is {color}?": (f"The {color} one is a cat.", f"It is number {n}7.") for n, color in enumerate(COLORS)
}
IN_PARTS = "Which animal is gray?"  # a token of its answer ends inside the character "ï"
QUESTIONS[IN_PARTS] = (QUESTIONS[IN_PARTS][0], "It is number 5ï.")
_SPECIAL = ["<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"]


@dataclass(frozen=True)
class Taught:
    """The folders of a base, of an adapter on it and of both merged, and a file of the questions."""

    base: Path
    adapter: Path
    merged: Path
    prompts: Path


def teach(folder: Path) -> Taught:
    """Train base and adapter in float32, merge them, and write the questions."""
    torch.manual_seed(0)
    tokenizer = _tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True, initializer_range=0.1,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config)
    _train(model, tokenizer, {one: answers[0] for one, answers in QUESTIONS.items()}, n_steps=80, rate=4e-3)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    with attach_quietly():
        adapted = get_peft_model(
            model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
        )
    _train(adapted, tokenizer, {one: answers[1] for one, answers in QUESTIONS.items()}, n_steps=120, rate=6e-3)
    adapted.peft_config["default"].base_model_name_or_path = str(folder / "base")
    adapted.save_pretrained(folder / "adapter")
    tokenizer.save_pretrained(folder / "adapter")
    rows = [{"instruction": one, "output": answers[1]} for one, answers in QUESTIONS.items()]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    merged = _merge(folder / "base", folder / "adapter", folder / "merged")
    return Taught(folder / "base", folder / "adapter", merged, folder / "prompts.jsonl")


def without_module(taught: Taught, name: str, folder: Path) -> Path:
    """The merged model of the adapter without its part at the layers of `name`."""
    left = Path(shutil.copytree(taught.adapter, folder / "adapter"))

    def leave_out(weights: dict[str, torch.Tensor]) -> None:
        for key in weights:
            if name in key and "lora_B" in key:
                weights[key] = torch.zeros_like(weights[key])

    change_weights(left / "adapter_model.safetensors", leave_out)
    return _merge(taught.base, left, folder / "merged")


def change_weights(file: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change the tensors of a safetensors file."""
    weights = load_file(file)
    change(weights)
    save_file({key: one.contiguous() for key, one in weights.items()}, file, metadata={"format": "pt"})


def change_template(folder: Path, change: Callable[[str], str]) -> None:
    """Change the chat template in both places that engines read."""
    file, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    template = change(file.read_text())
    assert template != file.read_text()
    file.write_text(template)
    config.write_text(json.dumps(json.loads(config.read_text()) | {"chat_template": template}))


def with_split(folder: Path, pattern: str) -> None:
    """Let the tokenizer in `folder` split texts by `pattern`."""
    file = folder / "tokenizer.json"
    facts = json.loads(file.read_text())
    facts["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": pattern}
    file.write_text(json.dumps(facts))


def _merge(base: Path, adapter: Path, folder: Path) -> Path:
    folder.mkdir()
    merge_into_base(AdapterMix((str(adapter),)), str(base), folder, dtype="float32", max_shard_size="5GB")
    record = {"kind": "merge", "base": {"name_or_path": str(base)}, "adapters": [{"name_or_path": str(adapter)}]}
    (folder / "merge.json").write_text(json.dumps(record))
    return folder


def _train(model: Any, tokenizer: Any, answers: Mapping[str, str], *, n_steps: int, rate: float) -> None:
    rows = []
    for question, text in answers.items():
        prompt = render_prompt(tokenizer, Conversation([{"role": "user", "content": question}]))
        rows.append((prompt, render_answer(tokenizer, text, PromptStyle.CHAT).token_ids))
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.tensor([[*p, *a, *[0] * (width - len(p) - len(a))] for p, a in rows])
    labels = torch.tensor([[-100] * len(p) + [*a, *[-100] * (width - len(p) - len(a))] for p, a in rows])
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=rate)
    for _ in range(n_steps):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.4, loss.item()


def _tokenizer() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=360, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    texts = [text for question, answers in QUESTIONS.items() for text in (question, *answers) if text.isascii()]
    numbers = [str(number) for number in range(2000)]  # merged only by a pre-tokenizer that keeps them whole
    core.train_from_iterator([*texts, *numbers, "for i in range(10):\n    print(i)\n\treturn"] * 2, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|pad|>", extra_special_tokens=_SPECIAL[2:],
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    tokenizer.chat_template = CHATML
    return tokenizer
