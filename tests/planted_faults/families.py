"""The bases that faults are planted on: four families of tokenizer and template, tiny, with random weights."""

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.planted_faults.sample_rows import rows_in
from tests.twins.models import save_twin


class Family(StrEnum):
    """Where the families differ: a chat template or none, marks in the vocabulary or new ones, BOS or none."""

    GPT2 = "gpt2"  # no template, one special token: marks of a template are new to it
    CHATML = "chatml"  # Qwen2.5: own ChatML template, <|endoftext|> as EOS, rows to spare in the embeddings
    LLAMA3 = "llama3"  # no template, Llama 3's marks in the vocabulary, BOS put first
    OWN = "own"  # byte-level, own marks <|user|> and <|bot|>, own template, no BOS


_TWINS = {Family.GPT2: "gpt2", Family.CHATML: "qwen2.5-0.5b", Family.LLAMA3: "llama-3.2-1b"}

OWN_TEMPLATE = r"""
{%- for message in messages -%}
    {%- if message['role'] == 'assistant' -%}
        {{- '<|bot|>\n' -}}{%- generation -%}{{- message['content'] + '<|end|>' -}}{%- endgeneration -%}{{- '\n' -}}
    {%- else -%}
        {{- '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|bot|>\n' -}}{%- endif -%}
"""
_OWN_MARKS = ("<|end|>", "<|user|>", "<|bot|>", "<|system|>")
_N_OWN_TOKENS = 700


def save_base(family: Family, folder: Path) -> Path:
    """Write the base of `family` into `folder`: config, random weights, tokenizer."""
    if family in _TWINS:
        return save_twin(_TWINS[family], folder, Path("no-real-tokenizers"))  # the same with and without real ones
    core = byte_level_tokenizer()
    save_own_tokenizer(core, folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=core.get_vocab_size(), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=core.token_to_id("<|end|>"), pad_token_id=core.token_to_id("<|pad|>"),
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def byte_level_tokenizer() -> Tokenizer:
    """A byte-level BPE of some hundred tokens, trained on the English rows."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_N_OWN_TOKENS, special_tokens=[*_OWN_MARKS, "<|pad|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    core.train_from_iterator([text for row in rows_in("english") for text in row.values()], trainer)
    return core


def latin_tokenizer(unknown: str | None = "<unk>") -> Tokenizer:
    """A BPE over the characters of the English rows; every other character is `unknown`, or left out without it."""
    core = Tokenizer(models.BPE(unk_token=unknown))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    core.decoder = decoders.Metaspace(prepend_scheme="never")
    special = [*_OWN_MARKS, "<|pad|>", *([unknown] if unknown else [])]
    trainer = trainers.BpeTrainer(vocab_size=_N_OWN_TOKENS, special_tokens=special, show_progress=False)
    core.train_from_iterator([text for row in rows_in("english") for text in row.values()], trainer)
    return core


def save_own_tokenizer(core: Tokenizer, folder: Path, **options: Any) -> None:
    """`core` with the marks and the template of the own family, as a tokenizer in `folder`."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=_OWN_MARKS[0], pad_token="<|pad|>", extra_special_tokens=list(_OWN_MARKS[1:]),
        clean_up_tokenization_spaces=False, **options,
    )  # fmt: skip
    tokenizer.chat_template = OWN_TEMPLATE
    tokenizer.save_pretrained(folder)


def change_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Apply `change` to the JSON object in `path`."""
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
