"""Micro-batches by length: the rows of one optimizer step without the padding that their order would cost.

The rows of a step stay those that the sampler drew (`per_device_train_batch_size` x `gradient_accumulation_steps`).
Inside the step they are sorted by length and cut into micro-batches within a token budget. TRL divides each loss by the
step's trained tokens, so the gradient is the same however the rows are cut.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from peft import PeftModel
from transformers import PreTrainedModel
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from pipelines.inference.teacher_forcing import IGNORED
from pipelines.modeling.step_memory.fitting import tokens_on_this_device

if TYPE_CHECKING:
    _AnySFTTrainer = SFTTrainer
else:
    _AnySFTTrainer = object

Row = dict[str, list[int]]
_PADDED = ("input_ids", "labels", "attention_mask")
_PACKED = ("input_ids", "labels", "position_ids")
_TOKENS_ON_CPU = 2048  # from 256 to 8192 the time differs by 5% or less, and memory grows
# oneDNN prepares each 16-bit product for its shape and keeps 1,024 of them: with any length, the quickstart's 112 steps
# took 2.9 GiB and fell from 3,600 to 2,000 tokens/s; with multiples of 32 they stay at 3,600
_MULTIPLE_IN_16_BITS_ON_CPU = 32
_MEANS = ("entropy", "mean_token_accuracy")  # TRL's metrics, one entry for each micro-batch


def token_budget(written: str, training: SFTConfig, model: PreTrainedModel | PeftModel) -> int:
    """The tokens of a micro-batch for a recipe's `max_tokens_per_micro_batch`.

    `auto` is a constant on a processor, so that machines agree. On an accelerator it is what fits its memory, or what
    one batch of the recipe may have where that is not known.
    """
    if written != "auto":
        return int(written)
    if training.device.type == "cpu":
        return _TOKENS_ON_CPU
    one_batch = training.per_device_train_batch_size * (training.max_length or _TOKENS_ON_CPU)
    return tokens_on_this_device(model, training) or one_batch


def cut_by_length(lengths: Sequence[int], budget: int, overhead: int, *, padded: bool = True) -> list[list[int]]:
    """Cut rows of `lengths` tokens into micro-batches of at most `budget` tokens with padding, a longer row alone.

    Returns the places of each micro-batch's rows, the longest first. Of all cuts of the rows sorted by length, it is
    the one with the fewest tokens, when each micro-batch costs as much as `overhead` tokens more.
    """
    order = sorted(range(len(lengths)), key=lambda place: (lengths[place], place))
    ends = [0]
    for place in order:
        ends.append(ends[-1] + lengths[place])
    least, begins = [0], [0]
    for end in range(1, len(order) + 1):
        longest, best = lengths[order[end - 1]], (float("inf"), 0)
        for begin in range(end - 1, -1, -1):
            n_tokens = (end - begin) * longest if padded else ends[end] - ends[begin]
            if n_tokens > budget and begin < end - 1:
                break
            best = min(best, (least[begin] + n_tokens + overhead, begin))
        least.append(int(best[0]))
        begins.append(best[1])
    found, end = [], len(order)
    while end:
        found.append(order[begins[end] : end])
        end = begins[end]
    return found


class MicroBatches(_AnySFTTrainer):
    """A mixin before TRL's `SFTTrainer` that trains and evaluates in micro-batches by length.

    `max_tokens_per_micro_batch` is the budget; 0 leaves the batches as TRL pads them. So does what needs them whole:
    DeepSpeed, context or sequence parallelism, the auxiliary loss of a mixture of experts, own collators and losses.
    Rows packed into one are taken apart where attention would compute a mask over all of it, and stay joined
    where a kernel for sequences of different lengths does not.
    """

    max_tokens_per_micro_batch = 0

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor | int | None]:
        """The batches of one optimizer step: all rows in the last one, and as many empty ones as before it."""
        once = (without_repeats(batch, self.accelerator) for batch in epoch_iterator)
        batches, n_items = super().get_batch_samples(once, num_batches, device)
        if n_items is None or not all(self.can_be_cut(batch) for batch in batches):
            return batches, n_items
        rows = [row for batch in batches for row in rows_of(batch)]
        whole = self._padding_collator()(rows)
        nothing = {name: tensor[:0, :0] for name, tensor in whole.items()}
        return [nothing] * (len(batches) - 1) + [whole], n_items

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and backward of each micro-batch; gradients of several processes are reduced in the last."""
        if num_items_in_batch is None or not self.can_be_cut(inputs):
            return super().training_step(model, inputs, num_items_in_batch)
        total = torch.zeros((), device=self.args.device)
        if not len(inputs["input_ids"]):
            return total
        micro_batches = self._micro_batches(inputs)
        reduces_once = self.accelerator.distributed_type in (DistributedType.MULTI_GPU, DistributedType.MULTI_CPU)
        for place, micro_batch in enumerate(micro_batches, start=1):
            waits = reduces_once and place < len(micro_batches)
            with self.accelerator.no_sync(model) if waits else nullcontext():
                total += super().training_step(model, micro_batch, num_items_in_batch)
        self._join_means("train", micro_batches)
        return total

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """Evaluate a batch in micro-batches: the mean loss of its trained tokens, as without them."""
        if not prediction_loss_only or "labels" not in inputs or not self.can_be_cut(inputs):
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        n_items = (inputs["labels"][:, 1:] != IGNORED).sum().clamp(min=1)
        if self.args.average_tokens_across_devices:  # TRL takes `n_items` for the count of every rank
            n_items = n_items * (self.accelerator.num_processes // self.get_tp_size())
        total, micro_batches = torch.zeros((), device=self.args.device), self._micro_batches(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            for micro_batch in micro_batches:
                total += self.compute_loss(model, self._prepare_inputs(micro_batch), num_items_in_batch=n_items)
        self._join_means("eval", micro_batches)
        return total, None, None

    def can_be_cut(self, batch: Any) -> bool:
        """Whether steps of such batches are computed in micro-batches."""
        parallel = self.accelerator.parallelism_config
        return (
            self.max_tokens_per_micro_batch > 0
            and type(self.data_collator) is DataCollatorForLanguageModeling
            and set(_PADDED if "attention_mask" in batch else _PACKED) <= set(batch)
            and not (self.is_deepspeed_enabled or self.aux_loss_enabled or self.compute_loss_func)
            and not (parallel is not None and (parallel.cp_enabled or parallel.sp_enabled))
        )

    def _padding_collator(self) -> DataCollatorForLanguageModeling:
        collator = cast(DataCollatorForLanguageModeling, self.data_collator)
        in_16_bits = self.args.device.type == "cpu" and (self.args.bf16 or self.args.fp16)
        multiple = collator.pad_to_multiple_of or (_MULTIPLE_IN_16_BITS_ON_CPU if in_16_bits else None)
        return replace(collator, padding_free=False, pad_to_multiple_of=multiple)

    def _micro_batches(self, batch: Any) -> list[dict[str, Any]]:
        """The rows of `batch` by length; as many micro-batches on every rank, because each waits for the others."""
        rows = rows_of(batch)
        cuts = self.cuts([len(row["input_ids"]) for row in rows])
        if self.accelerator.num_processes > 1:
            n_cuts = torch.tensor([len(cuts)], device=self.accelerator.device)
            cuts = _cut_further(cuts, int(self.accelerator.gather(n_cuts).max()))
        nothing = [{**rows[0], "labels": [IGNORED] * len(rows[0]["labels"])}]
        return [self.collated([rows[place] for place in cut] if cut else nothing) for cut in cuts]

    def cuts(self, lengths: Sequence[int]) -> list[list[int]]:
        """The places of the rows of each micro-batch, for the rows of a step with `lengths` tokens."""
        multiple = (None if self._joins else self._padding_collator().pad_to_multiple_of) or 1
        padded = [-(-length // multiple) * multiple for length in lengths]
        overhead = _overhead(self.args.device)
        return cut_by_length(padded, self.max_tokens_per_micro_batch, overhead, padded=not self._joins)

    def collated(self, rows: list[Row]) -> dict[str, Any]:
        """One micro-batch of `rows`."""
        return cast(dict[str, Any], (self.data_collator if self._joins else self._padding_collator())(rows))

    @property
    def _joins(self) -> bool:
        """Whether the rows of a micro-batch are laid end to end."""
        return self.padding_free and has_variable_length_kernel(self.model)

    def _join_means(self, mode: str, micro_batches: Sequence[dict[str, Any]]) -> None:
        """Replace the means of the micro-batches in TRL's metrics by that of the step, weighted by trained tokens."""
        counts = torch.stack([(one["labels"][:, 1:] != IGNORED).sum() for one in micro_batches])
        if self.accelerator.num_processes > 1:
            counts = self.accelerator.gather(counts.to(self.accelerator.device)[None]).sum(dim=0)
        weights = counts.tolist()
        for name in _MEANS:
            values = self._metrics[mode][name]
            parts = zip(values[-len(weights) :], weights, strict=True)
            values[-len(weights) :] = [sum(mean * weight for mean, weight in parts) / max(1, sum(weights))]


def without_repeats(batch: Any, accelerator: Accelerator) -> Any:
    """`batch` without the labels of rows that accelerate repeats, from the beginning of the rows, so that the last
    batch of several processes is full. Packed rows are joined and stay as they are."""
    state = accelerator.gradient_state
    if accelerator.num_processes == 1 or accelerator.parallelism_config is not None:
        return batch
    if not state.end_of_dataloader or state.remainder < 1 or not {"labels", "attention_mask"} <= set(batch):
        return batch
    n_own = state.remainder - accelerator.process_index * len(batch["labels"])
    labels = batch["labels"].clone()
    labels[max(0, n_own) :] = IGNORED
    return {**batch, "labels": labels}


def rows_of(batch: Any) -> list[Row]:
    """The rows of a batch without padding; packed rows apart. Shapes: `input_ids`, `labels` (rows, tokens)."""
    ids, labels = batch["input_ids"].tolist(), batch["labels"].tolist()
    if "attention_mask" in batch:
        spans = [(row, 0, length) for row, length in enumerate(batch["attention_mask"].sum(dim=1).tolist())]
    else:
        positions = batch["position_ids"].tolist()
        spans = [(row, *span) for row, of_row in enumerate(positions) for span in _sequences(of_row)]
    return [{"input_ids": ids[row][begin:end], "labels": labels[row][begin:end]} for row, begin, end in spans]


def has_variable_length_kernel(model: Any) -> bool:
    """Whether attention over sequences joined in one row computes no mask over the whole row."""
    return "flash" in str(model.config.get_text_config()._attn_implementation)


def _sequences(positions: Sequence[int]) -> list[tuple[int, int]]:
    """Begin and end of each sequence of a packed row: its positions restart at 0. Padding is a row of zeros."""
    begins = [place for place, position in enumerate(positions) if position == 0]
    spans = list(zip(begins, [*begins[1:], len(positions)], strict=True))
    return [span for span in spans if span[1] - span[0] > 1] or spans[:1]


def _cut_further(cuts: list[list[int]], n: int) -> list[list[int]]:
    """Halve the fullest micro-batches until there are `n`; empty ones follow if no row is left to move."""
    while len(cuts) < n:
        fullest = max(range(len(cuts)), key=lambda place: len(cuts[place]))
        rows = cuts[fullest]
        middle = (len(rows) + 1) // 2
        cuts = [*cuts[:fullest], rows[:middle], *([rows[middle:]] if middle < len(rows) else []), *cuts[fullest + 1 :]]
        if len(rows) < 2:
            cuts = [*cuts, []]
    return cuts


def _overhead(device: torch.device) -> int:
    """What a micro-batch costs beside its tokens, in tokens: starting its kernels."""
    return 64 if device.type == "cpu" else 1024
