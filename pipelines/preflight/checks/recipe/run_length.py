"""Checks of the run's length: too few steps, an epoch that is never finished, too many epochs, keys that disagree."""

import math
from collections.abc import Iterator

from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.evidence import Check, kept_rows
from pipelines.preflight.checks.usual_rates import warms_up
from pipelines.records.finding import Evidence, Finding, Severity

_FEW_STEPS = 8  # Adam's moments and the warmup take as many
_FEW_OF_SMALL_BATCHES = 6  # where it is the set that is small, not the batch that is large
_FEW_OF_PACKED = 3  # small sets fit into few blocks
_LARGE_BATCH = 16
_ENOUGH_STEPS = 24  # that a remedy asks for
_MAX_EPOCHS = {1_000: 10, 1_000_000_000: 30}  # below this number of rows; LIMA's 1,030 rows were trained for 15
_MANY_ROWS = 10_000  # of which a part is often trained on purpose
_STEPS_TO_JUDGE = 100  # with held-out rows: a part of an epoch can be the best, as in the quickstart
_SMALL_SHARE = 0.5  # of an epoch, where max_steps ends it
_SAME_LENGTH = (0.8, 1.25)  # max_steps that agree with num_train_epochs


def run_length(context: CheckContext) -> Iterator[Finding]:
    """TOO_FEW_ROWS, RUN_TOO_SHORT, EPOCHS_OVERRIDDEN, RUN_TOO_LONG: the first that is true."""
    if getattr(context.data, "streaming", False):
        return  # a corpus of unknown length
    for check in (_too_few_rows, _few_steps, _epochs_overridden, _part_of_an_epoch, _many_epochs):
        if finding := check(context):
            yield finding
            return


def _too_few_rows(context: CheckContext) -> Finding | None:
    """One row, or one step, in which a warmup has a learning rate of 0."""
    if context.stage is Stage.PRETRAIN:
        return None
    training, n_rows = context.training, context.train.n_rows
    n_kept = len(kept_rows(context))
    stands_still = context.n_update_steps == 1 and warms_up(training) and training.get_warmup_steps(1) > 0
    if not n_kept or (n_kept > 1 and not stands_still):
        return None
    return Finding(
        "TOO_FEW_ROWS",
        Severity.ERROR,
        summary=f"{n_kept} of {n_rows} rows can be trained"
        + (", and the only step has a learning rate of 0 (warmup)" if stands_still else ""),
        why="nothing is learned" if stands_still else "the model memorizes one row",
        remedy=_longer(context) if n_kept > 1 else "add rows",
        evidence=(Evidence(f"{n_kept} rows, {context.n_update_steps} steps"),),
    )


def _few_steps(context: CheckContext) -> Finding | None:
    """A run of a few optimizer steps, by a large batch, few rows or max_steps."""
    if not kept_rows(context):
        return None  # another finding
    training, in_epoch = context.training, context.epoch_steps(with_dropped=True)
    ends_early = training.max_steps > 0
    n_steps = training.max_steps if ends_early else max(1, math.ceil(in_epoch * training.num_train_epochs))
    if n_steps >= _least_steps(context):
        return None
    steps = f"{n_steps} optimizer step{'s' * (n_steps > 1)}"
    epochs = f"; num_train_epochs: {training.num_train_epochs:g} would be {_all_steps(context)} steps"
    return Finding(
        "RUN_TOO_SHORT",
        Severity.WARNING if ends_early or context.stage is not Stage.PRETRAIN else Severity.NOTE,
        summary=(f"max_steps ends the run after {steps}" if ends_early else
                 f"the run has {steps}: {context.train.n_rows} rows in batches of {_rows_of_a_step(context)}")
        + (epochs if ends_early and "num_train_epochs" in context.keys else ""),
        why="the model hardly changes in so few steps, so the result says nothing about recipe or rows",
        remedy=_longer(context),
        evidence=(Evidence(f"{n_steps} steps, {_epochs(context):.2g} epochs of {context.train.n_rows} rows"),),
    )  # fmt: skip


def _epochs_overridden(context: CheckContext) -> Finding | None:
    """Both max_steps and num_train_epochs are written, and max_steps wins."""
    training = context.training
    if training.max_steps <= 0 or "num_train_epochs" not in context.keys:
        return None
    wanted = _all_steps(context)
    low, high = _SAME_LENGTH
    return Finding(
        "EPOCHS_OVERRIDDEN",
        Severity.NOTE if low <= training.max_steps / wanted <= high else Severity.WARNING,
        summary=f"max_steps: {training.max_steps} overrides num_train_epochs: {training.num_train_epochs:g}: the run "
        f"has {_epochs(context):.2g} epochs of {context.train.n_rows} rows",
        why="transformers ignores num_train_epochs where max_steps is set, without a message",
        remedy="set max_steps: -1, or remove num_train_epochs if the steps are intended",
        evidence=(Evidence(f"{training.max_steps} steps instead of {wanted}"),),
    )


def _part_of_an_epoch(context: CheckContext) -> Finding | None:
    """The run ends before it has seen all rows."""
    training, n_rows, share = context.training, context.train.n_rows, _epochs(context)
    ends_early = training.max_steps > 0
    if share >= 0.999 or (ends_early and (share >= _SMALL_SHARE or context.stage is Stage.PRETRAIN)):
        return None
    is_measured = context.held_out is not None and context.n_update_steps >= _STEPS_TO_JUDGE
    one_epoch = f"max_steps: {math.ceil(context.epoch_steps())}" if ends_early else "num_train_epochs: 1"
    return Finding(
        "RUN_TOO_SHORT",
        Severity.NOTE if n_rows >= _MANY_ROWS or is_measured else Severity.WARNING,
        summary=(f"max_steps: {training.max_steps} is" if ends_early else "num_train_epochs is")
        + f" {share:.2g} epochs: about {math.floor((1 - share) * n_rows)} of {n_rows} rows are never trained",
        why="the rows that are left out are drawn by chance",
        remedy=f"set {one_epoch}",
        evidence=(Evidence(f"{context.n_update_steps} steps, {context.epoch_steps():.1f} in an epoch"),),
    )


def _many_epochs(context: CheckContext) -> Finding | None:
    """A small set again and again, without a choice of the best checkpoint."""
    n_rows, epochs = context.train.n_rows, _epochs(context)
    usual = next(limit for below, limit in _MAX_EPOCHS.items() if n_rows < below)
    if epochs <= usual * 1.05 or context.base.from_scratch:
        return None
    training = context.training
    keeps_best = training.load_best_model_at_end and context.held_out is not None
    three = f"max_steps: {math.ceil(3 * context.epoch_steps())}" if training.max_steps > 0 else "num_train_epochs: 3"
    return Finding(
        "RUN_TOO_LONG",
        Severity.NOTE if keeps_best else Severity.WARNING,
        summary=f"the run has {epochs:.3g} epochs of {n_rows} rows"
        + (", of which the best by held-out loss is kept" if keeps_best else ""),
        why="the model memorizes so few rows within some epochs, and answers other prompts worse from then on",
        remedy=f"nothing to do, or set {three}" if keeps_best else f"set {three}, or hold rows out and set keep_best",
        evidence=(Evidence(f"{context.n_update_steps} steps, {context.epoch_steps():.1f} in an epoch"),),
    )


def _least_steps(context: CheckContext) -> int:
    """Fewer steps than these are too few."""
    if context.training.max_steps > 0 or _rows_of_a_step(context) >= _LARGE_BATCH:
        return _FEW_STEPS
    return _FEW_OF_PACKED if getattr(context.training, "packing", False) else _FEW_OF_SMALL_BATCHES


def _epochs(context: CheckContext) -> float:
    training = context.training
    if training.max_steps <= 0:
        return float(training.num_train_epochs)
    return training.max_steps / context.epoch_steps()


def _all_steps(context: CheckContext) -> int:
    """The steps that num_train_epochs asks for."""
    return max(1, math.ceil(context.epoch_steps() * context.training.num_train_epochs))


def _rows_of_a_step(context: CheckContext) -> int:
    training = context.training
    return int(training.train_batch_size * training.gradient_accumulation_steps * training.world_size)


def _longer(context: CheckContext) -> str:
    """The key that gives enough steps with the least change."""
    training = context.training
    wanted = _all_steps(context)
    if training.max_steps > 0:
        return "set max_steps: -1" if wanted >= _FEW_STEPS else f"set max_steps: {_ENOUGH_STEPS}"
    n_sequences = context.epoch_steps() * _rows_of_a_step(context) * training.num_train_epochs
    for key in ("gradient_accumulation_steps", "per_device_train_batch_size"):
        others = _rows_of_a_step(context) / getattr(training, key)
        if n_sequences / others >= _ENOUGH_STEPS:
            return f"set {key}: {max(1, int(n_sequences / others / _ENOUGH_STEPS))}"
    size = max(1, int(n_sequences / _ENOUGH_STEPS))
    epochs = math.ceil(training.num_train_epochs * _ENOUGH_STEPS / max(n_sequences, 1))
    more = f", num_train_epochs: {min(epochs, 10)}" if epochs > training.num_train_epochs else ""
    return f"add rows, or set per_device_train_batch_size: {size}, gradient_accumulation_steps: 1{more}"


CHECKS: tuple[Check, ...] = (run_length,)
