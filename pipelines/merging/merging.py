"""A merge and its proof, in the folder that both are about."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.merging.adapter_mix import AdapterMix
from pipelines.merging.checkpoint import open_checkpoint
from pipelines.merging.held_out_rows import RowLimits, held_out_rows
from pipelines.merging.merge_into_base import Written, merge_into_base, tokenizer_of
from pipelines.merging.proof import Proof, Reader, Subject, prove
from pipelines.modeling.loading import load_config


@dataclass(frozen=True)
class ProofPlan:
    """What a merge is proven on: at most `n_rows` of `prompts` (None: rows held out by the run, or built in), greedy
    answers of up to `max_new_tokens`, and the largest mean KL that passes (None: by the type of the weights)."""

    prompts: Path | None = None
    split: str = "test"
    n_rows: int = 100
    max_new_tokens: int = 64
    max_kl: float | None = None
    seed: int = 0


def merge_and_prove(
    mix: AdapterMix,
    base: str,
    folder: Path,
    dtype: str,
    max_shard_size: str,
    plan: ProofPlan,
    reader: Reader | None = None,
) -> tuple[Written, Proof]:
    """Write the merged model into `folder` and measure it. Raises as `merge_into_base` and `prove`."""
    tokenizer = tokenizer_of(mix, base)
    written = merge_into_base(mix, base, folder, dtype=dtype, max_shard_size=max_shard_size)
    config = load_config(str(folder)).get_text_config()
    limits = RowLimits(
        n_rows=plan.n_rows,
        seed=plan.seed,
        max_new_tokens=plan.max_new_tokens,
        max_positions=getattr(config, "max_position_embeddings", None),
        vocab_size=config.vocab_size,
    )
    rows = held_out_rows(tokenizer, mix.adapters[0], plan.prompts, plan.split, limits)
    subject = Subject(mix, base, folder, written, tokenizer, open_checkpoint(base).dtype)
    return written, prove(subject, rows, max_new_tokens=plan.max_new_tokens, max_kl=plan.max_kl, reader=reader)
