"""What policy and reference say about each held-out pair: the summed log-probabilities of its two answers."""

from typing import Any

import numpy as np
import torch
from peft import PeftModel
from trl import DPOTrainer
from trl.trainer.utils import use_adapter

COLUMNS = ("chosen", "rejected", "reference_chosen", "reference_rejected", "n_chosen", "n_rejected")


def score_pairs(trainer: DPOTrainer) -> dict[str, np.ndarray]:
    """`COLUMNS` of the trainer's evaluation pairs, shape [n] each: log-probabilities in nats, end token included, and
    the tokens that they are summed over.

    Every rank must call it; every rank gets all pairs. `ld_alpha` and other shapes of the loss have no part in this.
    """
    model = trainer.model_wrapped
    was_training = model.training
    model.eval()
    rows = []
    for batch in trainer.get_eval_dataloader():
        batch = trainer._prepare_inputs(batch)
        mask = batch["completion_mask"]
        with torch.no_grad(), trainer.accelerator.autocast():
            own = _summed(model, batch)
            reference = _reference_summed(trainer, model, batch)
        columns = torch.stack([own, reference, mask[:, 1:].sum(dim=1).float()])  # each: all chosen, then all rejected
        pairs = columns.reshape(6, -1).T.contiguous()
        rows.append(trainer.accelerator.gather_for_metrics(pairs).float().cpu().numpy())
    model.train(was_training)
    return dict(zip(COLUMNS, np.concatenate(rows).astype(np.float64).T, strict=True))


def _summed(model: torch.nn.Module, batch: dict[str, Any]) -> torch.Tensor:
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
    outputs = model(**inputs, labels=labels, use_cache=False, fused_lm_head=True)
    return outputs.log_probs[:, -(labels.size(1) - 1) :].float().sum(dim=1)


def _reference_summed(trainer: DPOTrainer, model: torch.nn.Module, batch: dict[str, Any]) -> torch.Tensor:
    if trainer.ref_model is not None:
        return _summed(trainer.ref_model, batch)
    policy = trainer.accelerator.unwrap_model(trainer.model)
    if not isinstance(policy, PeftModel):  # computed before training and kept in the rows
        return torch.cat([batch["ref_chosen_logps"], batch["ref_rejected_logps"]]).float()
    with use_adapter(policy, "ref" if "ref" in policy.peft_config else None):
        return _summed(model, batch)
