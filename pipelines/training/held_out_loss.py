"""The held-out loss of sft.py: the mean over trained tokens, as the training loss is, however the rows are batched."""

from typing import TYPE_CHECKING, Any

import torch
from trl import SFTTrainer

from pipelines.inference.teacher_forcing import IGNORED
from pipelines.training.micro_batches import without_repeats

if TYPE_CHECKING:
    _AnySFTTrainer = SFTTrainer
else:
    _AnySFTTrainer = object


class TokenWeightedLoss(_AnySFTTrainer):
    """A mixin before TRL's `SFTTrainer`. transformers weights the mean of each batch by its rows, so the loss, and a
    choice of the best checkpoint by it, would depend on the size of the batches and the number of processes."""

    _nats_and_tokens = torch.zeros(2, dtype=torch.float64)

    def evaluation_loop(self, dataloader: Any, description: str, *arguments: Any, **options: Any) -> Any:
        """Evaluate, and replace the loss."""
        self._nats_and_tokens = torch.zeros(2, dtype=torch.float64)
        output = super().evaluation_loop(dataloader, description, *arguments, **options)
        of_ranks = self.accelerator.gather(self._nats_and_tokens.float().to(self.accelerator.device)[None])
        nats, tokens = of_ranks.double().sum(dim=0).tolist()
        name = f"{options.get('metric_key_prefix', 'eval')}_loss"
        if tokens and output.metrics is not None and name in output.metrics:
            output.metrics[name] = nats / tokens
        return output

    def prediction_step(self, model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
        """Evaluate a batch, and add its loss."""
        inputs = without_repeats(inputs, self.accelerator)
        found = super().prediction_step(model, inputs, *arguments, **options)
        if found[0] is not None and "labels" in inputs:
            n_tokens = int((inputs["labels"][:, 1:] != IGNORED).sum())
            if n_tokens:  # repeats alone have a loss of 0/0
                of_batch = torch.tensor([float(found[0]) * n_tokens, n_tokens], dtype=torch.float64)
                self._nats_and_tokens = self._nats_and_tokens + of_batch
        return found
