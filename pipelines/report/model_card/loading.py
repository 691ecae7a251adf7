"""The snippet that loads the model: it runs unchanged where peft and transformers are installed."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from pipelines.hub.unmerged import Engine, max_lora_rank, not_taken
from pipelines.report.answers.answers import Prompt

MAX_PROMPT = 300  # characters of a prompt that is put into the snippet; one that is longer is passed over
_ANY_PROMPT = "What can you do?"
_N_NEW_TOKENS = 200
_WHY_PEFT_ONLY = {
    "DoRA": "transformers drops DoRA's magnitudes, which changes the model",
    "rows of new tokens": "transformers does not grow the embeddings of the base for the tokens that the adapter adds",
}


def snippet_prompt(examples: Sequence[Prompt]) -> str:
    """The first request of the examples that is short and whole, else one of no kind."""
    for prompt in examples:
        text = "\n\n".join(filter(None, (prompt.instruction.text, prompt.input.text)))
        if len(text) <= MAX_PROMPT and not prompt.instruction.n_hidden and not prompt.input.n_hidden:
            return text
    return _ANY_PROMPT


def why_peft_only(adapter: Mapping[str, Any]) -> str:
    """Why `AutoModelForCausalLM.from_pretrained` of the adapter gives another model than PEFT does, by its
    adapter_config.json; empty where the two are the same."""
    return next((_WHY_PEFT_ONLY[one] for one in not_taken(adapter, Engine.TRANSFORMERS)), "")


def vllm_command(name: str, base: str, adapter: Mapping[str, Any]) -> str:
    """The command that serves the adapter at `name` with vLLM, its template and its end tokens; empty where vLLM does
    not take it."""
    if not_taken(adapter, Engine.VLLM):
        return ""
    served = shlex.quote(f"{PurePath(name).name}={name}")
    own = f"--tokenizer {shlex.quote(name)} --generation-config {shlex.quote(name)}"
    lora = f"--enable-lora --max-lora-rank {max_lora_rank(adapter)} --lora-modules {served}"
    return f"vllm serve {shlex.quote(base)} {own} {lora}"


def loading_snippet(
    name: str, prompt: str, *, is_adapter: bool, has_template: bool, revision: str | None, max_new_tokens: int | None
) -> str:
    """Python that prints the model's answer to `prompt`; `name` and `revision` are where the model is loaded from."""
    library, loader = ("peft", "AutoPeftModelForCausalLM") if is_adapter else ("transformers", "AutoModelForCausalLM")
    imported = "AutoTokenizer, GenerationConfig" if is_adapter else f"{loader}, AutoTokenizer, GenerationConfig"
    first = [f"from {library} import {loader}"] if is_adapter else []
    at = f"name, revision={_literal(revision)}" if revision else "name"
    asked = [
        f'messages = [{{"role": "user", "content": {_literal(prompt)}}}]',
        "ids = tokenizer.apply_chat_template(",
        '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=False',
        ")",
    ]
    plain = [f"prompt = {_literal(prompt)}", 'ids = tokenizer(prompt, return_tensors="pt").input_ids']
    lines = [
        *first,
        f"from transformers import {imported}",
        "",
        f"name = {_literal(name)}",
        f"model = {loader}.from_pretrained({at})",
        f"tokenizer = AutoTokenizer.from_pretrained({at})",
        f"ends = GenerationConfig.from_pretrained({at}, max_new_tokens={max_new_tokens or _N_NEW_TOKENS})",
        *(asked if has_template else plain),
        "answer = model.generate(ids, generation_config=ends)[0, ids.shape[1] :]",
        "print(tokenizer.decode(answer, skip_special_tokens=True))",
    ]
    return "\n".join(lines)


def _literal(text: str) -> str:
    """`text` as Python's string literal, which JSON's is for what UTF-8 can hold."""
    return json.dumps(text, ensure_ascii=False)
