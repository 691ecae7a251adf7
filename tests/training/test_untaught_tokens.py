"""Tokens whose embeddings the base cannot know are trained beside LoRA, also where its own template names none."""

import shutil
from pathlib import Path

from transformers import AutoTokenizer
from trl import ModelConfig, SFTConfig

from pipelines.training.fine_tuning import load_bundle, load_training_tokenizer
from pipelines.training.starting_point import starting_point


def test_tokens_behind_the_last_embedding_of_a_base_with_its_own_template_are_trained(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model_folder, base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|later|>"]}, replace_extra_special_tokens=False)
    tokenizer.save_pretrained(base)
    arguments = ModelConfig(model_name_or_path=str(base), use_peft=True)
    training = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none")
    start = starting_point(arguments, None)
    tokenizer, new_tokens = load_training_tokenizer(start, training, conversational=True)
    assert new_tokens == []
    bundle = load_bundle(start, arguments, training, tokenizer, new_tokens)
    assert bundle.lora is not None
    assert bundle.lora.trainable_token_indices == {"embed_tokens": [tokenizer.convert_tokens_to_ids("<|later|>")]}
