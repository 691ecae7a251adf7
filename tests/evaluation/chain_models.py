"""Real models whose every answer is known beforehand: each token has one successor, whatever came before it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from pipelines.inference.loading import load_for_inference
from pipelines.modeling import LoadedModel, load_tokenizer

SURE = 14.0  # logit of the successor, 0 for all other tokens


def save_chain_model(
    tokenizer_folder: Path, folder: Path, texts: Sequence[str], *, ends: bool, max_positions: int = 256
) -> Path:
    """Save a Llama that says the tokens of `texts` after the newline that ends a prompt, then `<|im_end|>` if `ends`.

    Without an end it begins the last text's last token again and again. A text must not use a token twice.
    """
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    newline = tokenizer.convert_tokens_to_ids("Ċ")
    said = [token_id for text in texts for token_id in tokenizer(text, add_special_tokens=False)["input_ids"]]
    assert len(set(said)) == len(said), tokenizer.convert_ids_to_tokens(said)
    assert newline not in said
    last = tokenizer.convert_tokens_to_ids("<|im_end|>") if ends else said[-1]
    return save_successors(tokenizer, folder, dict(zip([newline, *said], [*said, last], strict=True)), max_positions)


def save_successors(
    tokenizer: PreTrainedTokenizerBase, folder: Path, successors: Mapping[int, int], max_positions: int = 256
) -> Path:
    """Save a Llama that gives each token of `successors` its successor.

    Its embeddings are one-hot, its block adds nothing, and its output head is the table of successors.
    """
    width = len(tokenizer) + len(tokenizer) % 2
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        head_dim=8, max_position_embeddings=max_positions, tie_word_embeddings=False, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(len(tokenizer), width))
        model.model.layers[0].self_attn.o_proj.weight.zero_()
        model.model.layers[0].mlp.down_proj.weight.zero_()
        model.lm_head.weight.zero_()
        for token_id, successor in successors.items():
            model.lm_head.weight[successor, token_id] = SURE / width**0.5  # the last norm makes a one-hot width**0.5
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def lively_model(folder: Path, end_ids: list[int] | None) -> LoadedModel:
    """The model in float64 with weights so large that each token depends on all tokens before it."""
    loaded = load_for_inference(str(folder), dtype="float64")
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in loaded.model.named_parameters():
            if "norm" not in name:
                weight.normal_(0, 0.4)
        loaded.model.get_input_embeddings().weight.normal_(0, 1.0)
    loaded.model.generation_config.eos_token_id = end_ids
    return loaded


def token_ids_of(folder: Path, text: str) -> list[int]:
    """The tokens of `text` alone."""
    return list(load_tokenizer(str(folder))(text, add_special_tokens=False)["input_ids"])
