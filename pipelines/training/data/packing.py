"""Packing: check that examples packed into one sequence do not attend to each other."""

from typing import Any, cast

import torch
from transformers import PreTrainedModel
from trl import SFTConfig, SFTTrainer

from pipelines.errors import UserError
from pipelines.inference.teacher_forcing import IGNORED

_PROBE_LENGTH = 16
_TOLERANCE = 1e-5  # of the largest loss; masked tokens change no bit, visible ones change more than this


def refuse_contamination(trainer: SFTTrainer) -> None:
    """Check before step 1 of a packed run that the second of two packed examples does not see the first.

    Raises `UserError` if examples see each other, if the loss is NaN or infinite (as with some pairs of attention
    implementation and dtype), or for `wrapped` packing, which joins examples by design.
    """
    if not trainer.padding_free:
        if cast(SFTConfig, trainer.args).packing:
            raise UserError(
                f"packing_strategy is {cast(SFTConfig, trainer.args).packing_strategy}, expected bfd or bfd_split, "
                "which keep examples apart",
                "remove packing_strategy from the recipe",
                finding="PACKING_CONTAMINATES",
            )
        return
    model = cast(PreTrainedModel, trainer.model)
    vocab_size = min(1000, model.config.get_text_config().vocab_size)
    ids = torch.arange(2 * _PROBE_LENGTH) * 7 % vocab_size
    first, second = ids.view(2, _PROBE_LENGTH).tolist()
    other = [(token_id + 1) % vocab_size for token_id in first]  # differs from `first` everywhere
    losses = [_losses_of_second(trainer, one, second) for one in (first, other)]
    if not all(torch.isfinite(loss).all() for loss in losses):
        raise UserError(
            f"the loss on packed examples is NaN or infinite (attn_implementation {model.config._attn_implementation})",
            "set attn_implementation: eager, or packing: false",
        )
    difference = (losses[0] - losses[1]).abs().max().item()
    if difference > _TOLERANCE * losses[0].max().item():
        raise UserError(
            f"packed examples see each other: the loss of one moves by {difference:.3f} nats with its neighbor, with "
            f"attn_implementation {model.config._attn_implementation}",
            "set attn_implementation: sdpa, or packing: false",
            finding="PACKING_CONTAMINATES",
        )


@torch.no_grad()
def _losses_of_second(trainer: SFTTrainer, first: list[int], second: list[int]) -> torch.Tensor:
    """Losses (float32, shape [n - 1]) of the second example's tokens, packed after the first."""
    ids = first + second
    batch: dict[str, Any] = trainer.data_collator(
        [{"input_ids": ids, "labels": ids, "seq_lengths": [len(first), len(second)]}]
    )
    model = cast(PreTrainedModel, trainer.model)
    was_training = model.training
    model.eval()
    tensors = {name: value for name, value in batch.items() if name != "labels"}
    inputs = {name: one.to(model.device) if isinstance(one, torch.Tensor) else one for name, one in tensors.items()}
    logits = model(**inputs, use_cache=False).logits[0, len(first) : -1].float()
    model.train(was_training)
    return torch.nn.functional.cross_entropy(
        logits, torch.tensor(second[1:], device=logits.device), reduction="none", ignore_index=IGNORED
    )
