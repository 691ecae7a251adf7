"""A run ends at the first step whose loss or gradient is NaN or infinite, before its update, and names the rows."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from pipelines.errors import Diverged
from pipelines.inference.teacher_forcing import IGNORED
from pipelines.training.data.ledger import Ledger
from pipelines.training.machine_failures import no_torn_checkpoint
from pipelines.training.micro_batches import rows_of

if TYPE_CHECKING:
    _AnyTrainer = Trainer
else:
    _AnyTrainer = object

_LOWEST_SCALE = 1e-4  # of float16's loss scaling, which starts at 65536 and halves with each step that overflows
_N_NAMED, _N_SHOWN = 8, 60  # rows, characters
_LOWER = "lower learning_rate, raise warmup_steps, or train in bf16 or float32 instead of fp16"


@dataclass(frozen=True)
class BadRow:
    """A row whose loss or gradient is not finite: its token ids, and the place of the first token that makes it so."""

    token_ids: tuple[int, ...]
    place: int | None


class FiniteSteps(_AnyTrainer):
    """A mixin before a trainer class: no update from a loss or a gradient that is not finite.

    transformers' `logging_nan_inf_filter`, on by default, would log a NaN as the mean of the losses before it, update
    the weights, and wait for the device with each batch to do so. Here it is off while a step runs, and the device is
    asked once a step. In float16 an infinite gradient is skipped by the scaler of the loss, until its scale is gone.
    `examples` and `ledger` give the numbers of rows.
    """

    examples: Dataset | None = None
    ledger: Ledger | None = None

    def get_batch_samples(self, *arguments: Any, **options: Any) -> tuple[list[Any], torch.Tensor | int | None]:
        """The batches of one step, kept until its gradient is known."""
        batches, n_items = super().get_batch_samples(*arguments, **options)
        self._batches, self._filters = batches, self.args.logging_nan_inf_filter
        self.args.logging_nan_inf_filter = False
        return batches, n_items

    def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
        refuse_broken_weights(self)
        folder = Path(str(self.args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        with no_torn_checkpoint(folder, self.model):
            super()._save_checkpoint(*arguments, **options)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        self.args.logging_nan_inf_filter = self._filters
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        loss, value = self._tr_loss, norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        scaled = self.accelerator.scaler is not None
        measured = loss if value is None or scaled else loss + value
        n_finite = torch.isfinite(measured).float().reshape(())
        if self.accelerator.num_processes > 1:
            n_finite = self.accelerator.reduce(n_finite, "sum") / self.accelerator.num_processes
        if n_finite < 1 or (scaled and self.accelerator.scaler.get_scale() < _LOWEST_SCALE):
            raise self._diverged(loss, value)
        self._batches = []
        return norm

    def _diverged(self, loss: torch.Tensor, norm: Any) -> Diverged:
        """The error, equal on every rank."""
        rows = [row for batch in self._batches for row in single_rows(batch)]
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled  # a forward needs every rank
        bad = [] if sharded else self._bad_rows(rows)
        own = [(len(rows), [self._named(one) for one in bad[:_N_NAMED]], len(bad), float(loss), float(norm or 0.0))]
        found = gather_object(own) if self.accelerator.num_processes > 1 else own
        n_rows, named = sum(one[0] for one in found), [name for one in found for name in one[1]]
        n_bad = sum(one[2] for one in found)
        what = "loss" if any(not math.isfinite(one[3]) for one in found) else "norm of the gradient"
        problem = f"the {what} of step {self.state.global_step + 1} is not finite"
        broken = broken_weight(self.model)
        if 0 < n_bad < n_rows or (n_bad == 1 and not broken):
            more = f" and {n_bad - _N_NAMED} more" if n_bad > _N_NAMED else ""
            which = f"{n_bad} of its {n_rows} rows give that alone: {'; '.join(named[:_N_NAMED])}{more}"
            return Diverged(f"{problem}; {which}", f"correct or remove them; if they are right, {_LOWER}")
        if broken and not self.state.global_step:
            return Diverged(f"{problem}: {broken} was not before it", "check the weights of the base or the adapter")
        where = f", and {broken} is not finite" if broken else ""
        every = (
            f"each of its {n_rows} rows gives that alone" if n_bad else f"none of its {n_rows} rows gives that alone"
        )
        return Diverged(f"{problem}: the training diverged ({every}{where})", _LOWER)

    def _bad_rows(self, rows: list[dict[str, torch.Tensor]]) -> list[BadRow]:
        """Every rank examines as many, because TRL gathers the metrics of each loss."""
        n_examined = max(gather_object([len(rows)])) if self.accelerator.num_processes > 1 else len(rows)
        found = [self._bad_row(rows[min(place, len(rows) - 1)]) for place in range(n_examined)]
        return [one for one in found[: len(rows)] if one is not None]

    def _bad_row(self, row: dict[str, torch.Tensor]) -> BadRow | None:
        """The row if its loss or gradient is not finite without the others. Adds to the gradients."""
        model: Any = self.accelerator.unwrap_model(self.model)
        model.zero_grad()
        inputs = self._prepare_inputs(row)
        n_items = (inputs["labels"][:, 1:] != IGNORED).sum().clamp(min=1) if "labels" in inputs else None
        with self.compute_loss_context_manager():
            loss: Any = self.compute_loss(model, dict(inputs), num_items_in_batch=n_items)
        loss.backward()
        gradients = [one.grad for one in model.parameters() if one.grad is not None]
        if bool(torch.isfinite(loss)) and all(bool(torch.isfinite(one).all()) for one in gradients):
            return None
        real = inputs["attention_mask"][0].bool() if "attention_mask" in inputs else slice(None)
        ids = inputs["input_ids"][:1, real]
        return BadRow(tuple(ids[0].tolist()), _first_bad_token(model, ids))

    def _named(self, row: BadRow) -> str:
        """The number of a row, and the token from which on its logits are not finite."""
        decode = getattr(self.processing_class, "decode", str)
        number = row_number(row.token_ids, self.examples, self.ledger)
        name = f"row {number}" if number is not None else f"{decode(row.token_ids)[:_N_SHOWN]!r}"
        if row.place is None:
            return name
        before, token = row.token_ids[max(0, row.place - _N_NAMED) : row.place], row.token_ids[row.place]
        return f"{name} (from token {row.place}, {decode([token])!r}, on, after {decode(before)!r})"


def single_rows(batch: Mapping[str, Any]) -> list[dict[str, torch.Tensor]]:
    """Each row of a batch as a batch of its own: a pair of DPO with both answers, packed rows apart."""
    tensors = {name: value for name, value in batch.items() if isinstance(value, torch.Tensor)}
    n = len(tensors["input_ids"])
    if "completion_mask" in tensors:  # all chosen answers, then all rejected ones
        pairs = n // 2
        return [{key: one[place::pairs] for key, one in tensors.items()} for place in range(pairs)]
    if "position_ids" not in tensors:
        return [{key: one[place : place + 1] for key, one in tensors.items()} for place in range(n)]
    device = tensors["input_ids"].device
    return [{key: torch.tensor([ids], device=device) for key, ids in row.items()} for row in rows_of(batch)]


@torch.no_grad()
def _first_bad_token(model: Any, ids: torch.Tensor) -> int | None:
    """The place after which the logits of `ids` (1, n) are not finite: the end of the shortest such beginning.

    The logits of the whole row do not tell it: a token that is masked has the weight 0, and 0 times NaN is NaN.
    """

    def is_bad(n: int) -> bool:
        return not bool(model(input_ids=ids[:, :n], use_cache=False).logits.isfinite().all())

    lengths = range(1, ids.shape[1] + 1)
    return bisect_left(lengths, True, key=is_bad) if is_bad(lengths[-1]) else None


def row_number(token_ids: Sequence[int], examples: Dataset | None, ledger: Ledger | None) -> int | None:
    """The number of the first row with these tokens among the rows of `ledger`; None if it cannot be told.

    A batch has no numbers, and the sampler's order is known to the sampler alone; the tokens say it.
    """
    if examples is None or ledger is None:
        return None
    numbers = ledger.numbers_of_examples()
    wanted = list(token_ids)
    for place, example in enumerate(examples):
        ids = example.get("input_ids") or [*example.get("prompt_ids", ()), *example.get("chosen_ids", ())]
        if ids == wanted:
            return numbers[place] if place < len(numbers) else None
    return None


def broken_weight(model: torch.nn.Module | None) -> str | None:
    """The name of a trained weight that is NaN or infinite, None if all are finite; of shards, those of this rank."""
    parameters = model.named_parameters() if model is not None else ()
    return next((name for name, weight in parameters if weight.requires_grad and not _is_finite(weight)), None)


def _is_finite(weight: torch.nn.Parameter) -> bool:
    local = weight.to_local() if hasattr(weight, "to_local") else weight
    if not local.numel():
        return True
    return bool(torch.isfinite(torch.stack(torch.aminmax(local))).all())  # a tenth of the time of `isfinite` on each


def refuse_broken_weights(trainer: Trainer) -> None:
    """Raise `Diverged`, on every rank, before weights that are not finite are saved."""
    broken = broken_weight(trainer.model)
    found = [broken] if trainer.accelerator.num_processes == 1 else gather_object([broken])
    if any(found):
        name = next(filter(None, found))
        raise Diverged(f"the training diverged: {name} is not finite after step {trainer.state.global_step}", _LOWER)
