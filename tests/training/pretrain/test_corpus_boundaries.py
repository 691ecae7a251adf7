"""Documents side by side in one block do not see one another, whatever the attention and the architecture."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, TrainingArguments

from pipelines.errors import UserError
from pipelines.recipe.arguments import PretrainingArguments
from pipelines.training.pretrain.blocks import cut_into_blocks
from pipelines.training.pretrain.corpus import open_corpus
from pipelines.training.pretrain.document_boundaries import refuse_leaking_attention, separators_of, stack_blocks
from tests.run_files import write_jsonl

SIZES = {
    "llama": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2},
    "opt": {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
            "word_embed_proj_dim": 32},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
}  # fmt: skip


def tiny_model(model_type: str, attention: str) -> PreTrainedModel:
    torch.manual_seed(0)
    keys = {**SIZES[model_type], "vocab_size": 320, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
    config = AutoConfig.for_model(model_type, **keys)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()


@torch.no_grad()
def log_probs_of_second_document(model: PreTrainedModel, tokenizer: Any, first: str, *, respect: bool) -> torch.Tensor:
    """Of two rows, the second of which holds two documents: the row before must not disturb the positions either."""
    blocks = [
        cut_into_blocks(texts, tokenizer, 16, respect_documents=respect)
        for texts in (["ANOTHER ROW IS HERE"], [first, "SECOND..."])
    ]
    batch = stack_blocks([block[0] for block in blocks])
    assert "attention_mask" not in batch
    del batch["labels"]
    logits = model(**batch, use_cache=False).logits[1]
    return logits.log_softmax(-1)[len(first) + (2 if respect else 1) :]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
@pytest.mark.parametrize("respect", [True, False])
def test_an_earlier_document_changes_nothing(model_type, attention, respect, tokenizer):
    model = tiny_model(model_type, attention)
    one, other = (
        log_probs_of_second_document(model, tokenizer, first, respect=respect) for first in ("ABCDEF", "UVWXYZ")
    )
    assert one.shape[0] >= 8
    assert torch.equal(one, other) is respect
    if respect:  # as if it stood alone
        ids = separators_of(tokenizer, True).around(tokenizer("SECOND...")["input_ids"])[: len(one)]
        with torch.no_grad():
            alone = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
        torch.testing.assert_close(one, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("model_type", ["opt", "bloom"])
def test_an_architecture_that_lets_documents_look_into_one_another_is_refused(model_type):
    with pytest.raises(UserError, match="respect_documents: false"):
        refuse_leaking_attention(tiny_model(model_type, "eager"))


def test_the_probe_for_leaks_lets_good_models_pass_and_leaves_them_as_they_were():
    model = tiny_model("gpt2", "sdpa").train()
    refuse_leaking_attention(model)
    assert model.training
    # it reads position ids only in a batch of one row
    model.config._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(UserError, match="got flash_attention_2; set respect_documents: false"):
        refuse_leaking_attention(model)


def test_a_document_begins_with_what_evaluation_conditions_it_on(tokenizer):
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    tokenizer.eos_token = "<|im_end|>"
    assert separators_of(tokenizer, True).opening == [tokenizer.convert_tokens_to_ids("<|endoftext|>")]
    assert separators_of(tokenizer, True).closing == [end]
    tokenizer.bos_token = "<|im_start|>"
    assert separators_of(tokenizer, True).opening == [tokenizer.bos_token_id]
    assert separators_of(tokenizer, False).opening == []


def test_the_same_text_in_other_documents_has_another_fingerprint(tokenizer, tmp_path):
    words = ["one river ", "two rivers ", "three rivers ", "four rivers "] * 8
    fingerprints = set()
    pairs = [one + other for one, other in zip(words[::2], words[1::2], strict=True)]
    for name, documents in (("apart", words), ("joined", pairs)):
        file = write_jsonl(tmp_path / f"{name}.jsonl", ({"text": text} for text in [*documents, *["held out "] * 2]))
        arguments = PretrainingArguments(dataset_name=str(file), max_length=8, n_validation_documents=2)
        training = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
        corpus = open_corpus(arguments, training, tokenizer)
        fingerprints.add(corpus.facts["fingerprint"])
    assert len(fingerprints) == 2
