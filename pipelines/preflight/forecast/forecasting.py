"""Forecast of a run on one device: memory by part, and time on the reference GPU, before weights are loaded."""

import copy
from dataclasses import dataclass, replace

from trl import ModelConfig

from pipelines.errors import UserError
from pipelines.modeling.loading import adapter_config
from pipelines.modeling.step_memory.fitting import tokens_that_fit
from pipelines.modeling.step_memory.forecast import GIB, MemoryForecast, memory_forecast
from pipelines.modeling.step_memory.model_shape import ModelShape, model_shape
from pipelines.modeling.step_memory.training_load import Method, TrainingLoad, training_load
from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.console.terminal import columns, wrapped
from pipelines.preflight.forecast.time import ASSUMED_MFU, seconds_per_million_tokens
from pipelines.preflight.trained_weights import dtype_of_weights, lora_plan, n_rows_after_resizing

_HOUR = 3600
_ARITHMETIC = {2: "16 bits", 4: "float32"}
_METHODS = {
    Method.FULL: "all weights", Method.LORA: "LoRA", Method.LORA_8BIT: "LoRA on 8 bits", Method.QLORA: "QLoRA",
}  # fmt: skip


@dataclass(frozen=True)
class Forecast:
    """Memory at the peak of a step on one device; time at `ASSUMED_MFU` of one H200; tokens of the whole run."""

    shape: ModelShape
    load: TrainingLoad
    memory: MemoryForecast
    seconds_per_million_tokens: float
    n_tokens: float

    @property
    def hours(self) -> float:
        """Hours of the whole run on one reference GPU."""
        return self.n_tokens / 1e6 * self.seconds_per_million_tokens / _HOUR


def forecast_of(context: CheckContext) -> Forecast | None:
    """The forecast of a run, None for architectures without attention."""
    try:
        shape = model_shape(context.base.config)
    except AttributeError:  # a state-space model's config has no attention heads
        return None
    load = micro_batch_load(shape, _load(context), context, getattr(context.data, "max_tokens_per_micro_batch", "0"))
    return Forecast(
        shape, load, memory_forecast(shape, load), seconds_per_million_tokens(shape, load), _n_tokens(context)
    )


def is_cut_by_length(context: CheckContext) -> bool:
    """Whether the rows of a step are formed into micro-batches by length (see training/micro_batches.py)."""
    written = getattr(context.data, "max_tokens_per_micro_batch", "0")
    return context.stage is Stage.SFT and written != "0" and not context.training.deepspeed


def micro_batch_load(shape: ModelShape, load: TrainingLoad, context: CheckContext, budget: str) -> TrainingLoad:
    """`load` of a whole batch, or of the largest micro-batch where steps are cut by length: rows apart, without a mask
    over several, as many as fit into the `budget` of tokens, and one row at least."""
    if not is_cut_by_length(context):
        return load
    apart, machine = replace(load, packed=False), context.machine
    n_tokens = load.n_tokens
    if budget != "auto":
        n_tokens = int(budget)
    elif machine.accelerator and machine.device_bytes:
        n_tokens = tokens_that_fit(shape, apart, machine.device_bytes)
    of_the_step = load.n_tokens * context.training.gradient_accumulation_steps
    return replace(apart, n_tokens=max(load.sequence_length, min(n_tokens, of_the_step)))


def longest_sequence(context: CheckContext) -> int:
    """Tokens of the longest sequence of a batch: blocks and packed rows are full, others as long as the rows."""
    longest = max(map(len, context.examples()), default=0)
    is_filled = context.stage is Stage.PRETRAIN or getattr(context.training, "packing", False)
    if context.max_length is None or (longest and not is_filled):
        return longest or 1
    return context.max_length


def forecast_lines(context: CheckContext) -> list[str]:
    """The lines of `doctor.py --forecast`."""
    forecast = forecast_of(context if context.machine.accelerator else _as_on_a_gpu(context))
    if forecast is None:
        return [f"no forecast: {context.base.config.model_type} has no attention layers, which the forecast counts"]
    memory, load = forecast.memory, forecast.load
    parts = {
        "weights": memory.weights, "gradients": memory.gradients, "optimizer": memory.optimizer,
        "activations": memory.activations, "output head": memory.head, "CUDA overhead": memory.overhead,
    }  # fmt: skip
    lines = [
        f"forecast for one GPU that computes in {_ARITHMETIC[load.compute_bytes]}, {_METHODS[load.method]} on "
        f"{forecast.shape.n_parameters / 1e9:.3g}B weights, "
        f"{load.n_tokens:,} tokens in a step's forward:",
        *(f"  {name:<22}{n_bytes / GIB:8.2f} GiB" for name, n_bytes in parts.items()),
        f"  {'total':<22}{memory.total / GIB:8.2f} GiB at the peak of a step{_device(context)}",
        f"time: {forecast.seconds_per_million_tokens:.1f} s for a million tokens on one H200 at {ASSUMED_MFU:.0%} of "
        "its bfloat16 peak",
        f"run: about {_millions(forecast.n_tokens)} tokens{_how_many(context)}, so {_duration(forecast.hours)} on "
        "that GPU",
        "assumed: AdamW, sdpa attention, one device without sharding; evaluation, checkpoints, padding and loading "
        "are left out",
    ]
    return [piece for line in lines for piece in ([line] if line.startswith("  ") else wrapped(line, columns()))]


def _as_on_a_gpu(context: CheckContext) -> CheckContext:
    """`context` in its recipe's precision on a GPU with bfloat16."""
    training = copy.copy(context.training)
    training.bf16 = context.keys.get("bf16", not context.keys.get("fp16"))
    return replace(context, training=training, model=replace(context.model, dtype=context.keys.get("dtype")))


def _load(context: CheckContext) -> TrainingLoad:
    model = replace(context.model, dtype=dtype_of_weights(context))
    adapter, trains_tokens = None, bool(context.new_tokens) and not context.model.lora_modules_to_save
    if context.stage is Stage.PRETRAIN:
        trains_tokens = n_rows_after_resizing(context) > context.base.n_embedding_rows
    if context.base.adapter is not None:
        adapter, trains_tokens = _adapter_of(context.base.adapter)
    load = training_load(
        model, context.training, longest_sequence(context), trains_tokens=trains_tokens, adapter=adapter
    )
    plan = lora_plan(context)
    return replace(load, n_adapter=plan.n_matrix_weights) if plan is not None and plan.has_experts else load


def _adapter_of(name_or_path: str) -> tuple[ModelConfig, bool]:
    """The rank and dropout of an adapter, if it can be read, and whether it trains rows of tokens."""
    try:
        config = adapter_config(name_or_path)
    except UserError:
        return ModelConfig(use_peft=True), False
    shape = ModelConfig(
        use_peft=True, lora_r=getattr(config, "r", 0), lora_dropout=getattr(config, "lora_dropout", 0.0)
    )
    return shape, bool(getattr(config, "trainable_token_indices", None))


def _n_tokens(context: CheckContext) -> float:
    """Tokens that the run reads, with prompts; for preferences those of both answers."""
    training, seen = context.training, context.train
    n_seen = sum(map(len, context.examples()))
    if training.max_steps <= 0:
        return n_seen * seen.n_rows / max(1, len(seen.rows)) * training.num_train_epochs
    n_sequences = (
        training.max_steps * training.train_batch_size * training.gradient_accumulation_steps * training.world_size
    )
    if context.stage is Stage.PRETRAIN or getattr(training, "packing", False):
        return float(n_sequences * longest_sequence(context))
    n_kept = sum(bool(row.examples) for row in seen.rows)
    return n_sequences * n_seen / max(1, n_kept)


def _device(context: CheckContext) -> str:
    machine = context.machine
    if machine.accelerator is None or machine.device_bytes is None:
        return "; this machine has no GPU to compare it with"
    return f"; {machine.accelerator} here has {machine.device_bytes / GIB:.1f} GiB"


def _how_many(context: CheckContext) -> str:
    training, seen = context.training, context.train
    if training.max_steps > 0:
        return f" in {training.max_steps:,} steps"
    epochs = f"{training.num_train_epochs:g} epoch{'s' if training.num_train_epochs != 1 else ''}"
    estimated = f", estimated from {len(seen.rows):,}" if seen.is_sample else ""
    return f" ({seen.n_rows:,} rows{estimated}; {epochs})"


def _millions(number: float) -> str:
    return f"{number / 1e6:,.1f} million" if number >= 1e6 else f"{number:,.0f}"


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"about {hours:.1f} hours"
    return f"about {hours * 60:.0f} minutes" if hours * 60 >= 1 else "less than a minute"
