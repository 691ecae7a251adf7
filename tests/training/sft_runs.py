"""A small base without a chat template, small rows, and the keys of a short run on them."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROWS = [{"instruction": f"Say {n}.", "output": f"{n} it is"} for n in range(12)]
KEYS = (
    "--bf16 false --activation_checkpointing false --report_to none --disable_tqdm true --save_strategy no "
    "--eval_strategy no --max_length 128 --per_device_train_batch_size 4 --logging_steps 1 --n_samples 0 "
    "--dtype float32"
)
LORA = "--use_peft --learning_rate 1e-2 --max_steps 3 --lora_dropout 0"


def bare_base(folder: Path, *, tied: bool) -> Path:
    """A base as Llama's are: no chat template, no marks of one in its vocabulary."""
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
