"""The held-out loss of sft.py is the mean over the trained tokens of all batches."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipelines.training.held_out_loss import TokenWeightedLoss


class _OneProcess:
    """What the mixin stands before: an evaluation whose losses are given."""

    accelerator = SimpleNamespace(num_processes=1, gradient_state=None, gather=lambda one: one, device="cpu")

    def prediction_step(self, model: Any, inputs: Any) -> Any:  # noqa: ARG002
        return inputs["loss"], None, None

    def evaluation_loop(self, batches: Any, description: str) -> Any:  # noqa: ARG002
        for batch in batches:
            self.prediction_step(None, batch)
        return SimpleNamespace(metrics={"eval_loss": float("nan")})


class _Evaluated(TokenWeightedLoss, _OneProcess):
    pass


def test_a_batch_without_a_trained_token_is_left_out_of_the_mean():
    """With several processes the last batch of one can be repeats alone, and its mean is 0/0."""
    labels = {3: [[0, 1, 2, 3]], 1: [[0, -100, -100, 5]], 0: [[0, -100, -100, -100]]}
    losses = {3: 1.0, 1: 2.0, 0: float("nan")}
    batches = [{"loss": torch.tensor(losses[n]), "labels": torch.tensor(labels[n])} for n in labels]
    evaluated = _Evaluated().evaluation_loop(batches, "Evaluation")
    assert evaluated.metrics["eval_loss"] == pytest.approx((3 * 1.0 + 2.0) / 4)
