r"""Load a model folder with transformers alone and record its logits and answers; runs as a process of its own.

    python -P pipelines/merging/reload_check.py REQUEST.json

REQUEST.json holds the `folder`, `rows` of token ids, `prompts` (token ids) to answer greedily with up to
`max_new_tokens`, `messages` to render with the chat template, and the `output` folder for the logits of each row and
facts.json. This file must not import this project or PEFT.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

_BATCH_SIZE = 16  # prompts


def reload_and_record(request: dict[str, Any]) -> None:
    """Load the model of `request` and write what it asks for."""
    folder, output = request["folder"], Path(request["output"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    model, loading = loaded
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    write_logits(model, request["rows"], output)
    facts = {
        **facts_of(model, tokenizer, request["messages"]),
        "not_loaded": sorted(str(name) for names in loading.values() for name in names),
        "answers": greedy_answers(model, request["prompts"], request["max_new_tokens"]),
    }
    (output / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def facts_of(model: Any, tokenizer: PreTrainedTokenizerBase, messages: Sequence[Any]) -> dict[str, Any]:
    """What must be equal in two forms of one model besides its logits."""
    embeddings, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    return {
        "n_tokens_of_tokenizer": len(tokenizer),
        "n_embeddings": embeddings.shape[0],
        "heads_tied": head.data_ptr() == embeddings.data_ptr(),
        "rendered": [_rendered(tokenizer, one) for one in messages] if tokenizer.chat_template else [],
        "end_token_ids": model.generation_config.eos_token_id,
    }


@torch.inference_mode()
def write_logits(model: Any, rows: Sequence[Sequence[int]], folder: Path) -> None:
    """Write the logits of each row, (tokens, vocabulary) in float32, to `folder`/N.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows):
        logits = model(input_ids=torch.tensor([row], device=model.device), use_cache=False).logits[0]
        save_file({"logits": logits.float().cpu().contiguous()}, folder / f"{number}.safetensors")


@torch.inference_mode()
def greedy_answers(model: Any, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
    """Greedy answers as token ids, up to and including the model's end token. Prompts are left-padded."""
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends] if ends is not None else []
    policy = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, use_cache=True, eos_token_id=ends or None, pad_token_id=0
    )
    answers = []
    for start in range(0, len(prompts), _BATCH_SIZE):
        batch = prompts[start : start + _BATCH_SIZE]
        width = max(map(len, batch))
        ids = torch.tensor([[0] * (width - len(one)) + list(one) for one in batch], device=model.device)
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in batch], device=model.device)
        generated = model.generate(input_ids=ids, attention_mask=mask, generation_config=policy)[:, width:].tolist()
        answers += [_up_to_end(one, ends) for one in generated]
    return answers


def _up_to_end(token_ids: list[int], ends: Sequence[int]) -> list[int]:
    """`token_ids` without the padding that follows the first end token."""
    first = next((place for place, token_id in enumerate(token_ids) if token_id in ends), len(token_ids))
    return token_ids[: first + 1]


def _rendered(tokenizer: PreTrainedTokenizerBase, messages: Any) -> list[int]:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(str(text), add_special_tokens=False)["input_ids"])


if __name__ == "__main__":
    reload_and_record(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
