"""Packed or not, an example has the same loss: none sees another, whatever computes the attention."""

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedModel
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from pipelines.errors import UserError
from pipelines.modeling import load_tokenizer
from pipelines.training.data.packing import refuse_contamination

LENGTHS = (40, 9, 23, 31)


def examples() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randint(4, 280, (n,), generator=generator).tolist() for n in LENGTHS]
    return [{"input_ids": ids, "labels": [-100] * 4 + ids[4:], "seq_lengths": [len(ids)]} for ids in drawn]


def packed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "input_ids": list(chain.from_iterable(row["input_ids"] for row in rows)),
        "labels": list(chain.from_iterable(row["labels"] for row in rows)),
        "seq_lengths": [len(row["input_ids"]) for row in rows],
    }


def losses(model: PreTrainedModel, batch: dict[str, Any]) -> list[torch.Tensor]:
    """The losses (float32) of the labelled tokens, one tensor for each row of the batch."""
    labels = batch.pop("labels")
    with torch.no_grad():
        logits = model(**batch, use_cache=False).logits.float()
    flat = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="none")
    mask = labels[:, 1:] != -100
    return [row[keep] for row, keep in zip(flat.view_as(mask), mask, strict=True)]


@torch.no_grad()
def sharpened(model: Any, *parts: str) -> Any:
    """The model with attention so sharp that what one example sees of another shows."""
    for name, weight in model.named_parameters():
        if any(part in name for part in parts):
            weight.mul_(20)
    return model


def model_with(attention: str, folder: Path, architecture: str) -> PreTrainedModel:
    torch.manual_seed(0)
    if architecture == "llama":
        model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention, dtype=torch.float32)
        return sharpened(model, "q_proj", "k_proj").eval()
    sizes = {"vocab_size": 300, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128}
    return GPT2LMHeadModel(GPT2Config(**sizes, attn_implementation=attention, initializer_range=0.3)).eval()


@pytest.mark.parametrize(
    ("attention", "architecture", "compiles"),
    [(attention, architecture, False) for attention in ("sdpa", "eager") for architecture in ("llama", "gpt2")]
    + [  # transformers has no flex_attention for GPT-2; its kernels compile for every length, a minute in all
        ("flex_attention", "llama", False),
        pytest.param("flex_attention", "llama", True, marks=pytest.mark.slow),
    ],
)
def test_packing_keeps_the_loss(tiny_model_folder, attention, architecture, compiles):
    model = model_with(attention, tiny_model_folder, architecture)
    rows = examples()[:2] if compiles else examples()
    apart = DataCollatorForLanguageModeling(pad_token_id=1)
    together = DataCollatorForLanguageModeling(pad_token_id=1, padding_free=True)
    with torch.compiler.set_stance("default" if compiles else "force_eager"):
        alone = [losses(model, apart([row]))[0] for row in rows]
        padded = losses(model, apart(rows))
        [joined] = losses(model, together([packed(rows)]))
    for name, ours in (("padded", torch.cat(padded)), ("packed", joined)):
        assert (ours - torch.cat(alone)).abs().max() <= 1e-5, name
    if architecture == "llama" and attention != "flex_attention":  # without positions that begin anew, it shows
        batch = {name: torch.tensor([packed(rows)[name]]) for name in ("input_ids", "labels")}
        assert (losses(model, batch)[0] - torch.cat(alone)).abs().max() > 1e-2


def trainer_of(folder: Path, tmp_path: Path, **keys: Any) -> SFTTrainer:
    settings = SFTConfig(
        str(tmp_path), use_cpu=True, bf16=False, report_to="none", max_length=64, gradient_checkpointing=False, **keys
    )
    rows = Dataset.from_list([{"input_ids": row["input_ids"], "labels": row["labels"]} for row in examples()])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return SFTTrainer(model, args=settings, train_dataset=rows, processing_class=load_tokenizer(str(folder)))


@pytest.mark.parametrize("vocab_size", [None, 28, 56, 112, 2])
def test_contamination_is_refused(tiny_model_folder, tmp_path, vocab_size):
    trainer = trainer_of(tiny_model_folder, tmp_path, packing=True)
    if vocab_size is not None:  # the probe takes its tokens from the vocabulary
        trainer.model.config.vocab_size = vocab_size
    refuse_contamination(trainer)
    collate = trainer.data_collator

    def without_positions(rows: list[dict[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in collate(rows).items() if name in ("input_ids", "labels")}

    trainer.data_collator = without_positions
    sharpened(trainer.model, "q_proj", "k_proj", "v_proj", "o_proj")
    with pytest.raises(UserError, match="see each other"):
        refuse_contamination(trainer)


def test_nan_stops_a_packed_run_and_an_unpacked_one_is_not_probed(tiny_model_folder, tmp_path):
    refuse_contamination(trainer_of(tiny_model_folder, tmp_path))
    trainer = trainer_of(tiny_model_folder, tmp_path, packing=True)
    with torch.no_grad():
        trainer.model.get_output_embeddings().weight.fill_(float("nan"))
    with pytest.raises(UserError, match="NaN or infinite"):
        refuse_contamination(trainer)
