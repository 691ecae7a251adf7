"""Learning rate, warm-up, evaluation and documents: what a recipe asks for that a run will not do, or not well."""

from collections.abc import Iterator
from typing import cast

from transformers import TrainingArguments

from pipelines.preflight.check_context import CheckContext
from pipelines.preflight.checks.kind import Check
from pipelines.preflight.checks.usual_rates import UsualRates, usual_rates, warms_up
from pipelines.recipe import Stage
from pipelines.recipe.arguments import PretrainingArguments
from pipelines.records.finding import Evidence, Finding, Severity
from pipelines.training.data.ledger import RowFate
from pipelines.training.pretrain.corpus_sources import is_text_file

MAX_WARMUP_SHARE = 0.5  # recipes warm up for 1% to 10% of a run; more than half of it is a number meant for another run


def learning_rate_unusual(context: CheckContext) -> Iterator[Finding]:
    """LEARNING_RATE_UNUSUAL: out of the range for stage, method and size, or never chosen where the default is none."""
    usual = usual_rates(context)
    if usual is None:
        return
    rate = float(context.training.learning_rate)
    is_default = "learning_rate" not in context.keys and not usual.fits_default
    if usual.lowest <= rate <= usual.highest and not is_default:
        return
    low = rate < usual.lowest or is_default
    yield Finding(
        "LEARNING_RATE_UNUSUAL",
        Severity.WARNING,
        summary=f"learning_rate is not set, and the default {rate:g} is not meant for {usual.method}"
        if is_default
        else f"learning_rate {rate:g} is {'low' if low else 'high'} for {usual.method}: {usual.lowest:.0e} to "
        f"{usual.highest:.0e} are usual for this model",
        why="at so low a rate a run ends before it has learned much"
        if low
        else "at so high a rate runs diverge or forget what the base knew",
        remedy=f"set learning_rate: {_as_recipe(usual)}",
    )


def too_few_rows(context: CheckContext) -> Iterator[Finding]:
    """TOO_FEW_ROWS: one row, which is learned by heart, or one step, whose learning rate a warm-up makes 0."""
    if context.stage is Stage.PRETRAIN:
        return
    training, n_rows = context.training, context.train.n_rows
    n_kept = sum(row.fate is not RowFate.DROPPED for row in context.train.rows)
    stands_still = context.n_update_steps == 1 and warms_up(training) and training.get_warmup_steps(1) > 0
    if not n_kept or (n_kept > 1 and not stands_still):
        return
    n_steps = "the run has one step, whose learning rate is 0 (warm-up)"
    yield Finding(
        "TOO_FEW_ROWS",
        Severity.ERROR,
        summary=f"{n_kept} of {n_rows} rows can be trained on" + (f", and {n_steps}" if stands_still else ""),
        why="nothing is learned" if stands_still else "a model learns one row by heart and nothing else",
        remedy="add rows" + ("; or set warmup_steps: 0 and a higher num_train_epochs" if stands_still else ""),
        evidence=(Evidence(f"{n_kept} rows, {context.n_update_steps} steps"),),
    )


def warmup_longer_than_run(context: CheckContext) -> Iterator[Finding]:
    """WARMUP_LONGER_THAN_RUN: the learning rate never reaches its peak, or has hardly any time there."""
    training, n_steps = context.training, context.n_update_steps
    written = float(training.warmup_steps)  # below 1 it is a share of the run
    n_warmup = training.get_warmup_steps(n_steps)
    share = written if written < 1 else n_warmup / n_steps
    if share <= MAX_WARMUP_SHARE or not warms_up(training):
        return
    about = "" if training.max_steps > 0 else "about "
    yield Finding(
        "WARMUP_LONGER_THAN_RUN",
        Severity.ERROR if share >= 1 else Severity.WARNING,
        summary=f"the warm-up takes {n_warmup} of the run's {about}{n_steps} steps",
        why="the learning rate never gets to what the recipe asks for"
        if share >= 1
        else "most of the run is trained at a fraction of the learning rate",
        remedy="set warmup_steps: 0.03 (a value below 1 is a share of the run)",
        evidence=(Evidence(f"warmup_steps {written:g}, {about}{n_steps} steps"),),
    )


def evaluation_unused(context: CheckContext) -> Iterator[Finding]:
    """EVALUATION_UNUSED: held-out rows lie there and nobody looks, or only when the run is over."""
    training = context.training
    if context.has_unused_evaluation:
        yield Finding(
            "EVALUATION_UNUSED",
            Severity.WARNING,
            summary="the dataset has held-out rows and eval_strategy is no",
            why="without a held-out loss you cannot tell learning from memorization",
            remedy="set eval_strategy: epoch",
        )
    elif _evaluates_in_steps(training) and "eval_steps" in context.keys:
        n_between, n_steps = float(cast(float, training.eval_steps)), context.n_update_steps
        if n_between > n_steps:
            yield Finding(
                "EVALUATION_UNUSED",
                Severity.NOTE,
                summary=f"eval_steps is {n_between:g} and the run has {'' if training.max_steps > 0 else 'about '}"
                f"{n_steps} steps: it is evaluated at its end only",
                why="a single value at the end cannot show overfitting",
                remedy="set eval_steps: 0.1 (a value below 1 is a share of the run)",
            )


def documents_joined(context: CheckContext) -> Iterator[Finding]:
    """DOCUMENTS_JOINED: documents see those before them in a block; without an end token nothing even parts them."""
    data = context.data
    if not isinstance(data, PretrainingArguments) or data.respect_documents:
        return
    paths = [str(getattr(part, "path", part)) for part in data.datasets] or [str(data.dataset_name)]
    n_documents = len(paths) if all(map(is_text_file, paths)) else context.train.n_rows
    if n_documents < 2:
        return
    diff_excerpts = context.tokenizer.eos_token is not None
    yield Finding(
        "DOCUMENTS_JOINED",
        Severity.NOTE if diff_excerpts else Severity.WARNING,
        summary=f"the blocks join {n_documents} documents (respect_documents: false)"
        + (
            f", separated only by {context.tokenizer.eos_token}"
            if diff_excerpts
            else " with nothing between them: no end token"
        ),
        why="a token is predicted from unrelated documents",
        remedy="remove respect_documents, or set it to true",
    )


def _as_recipe(usual: UsualRates) -> str:
    """A rate as recipes write it."""
    digits, exponent = f"{usual.advised:.1e}".split("e")
    return f"{digits}e{int(exponent)}"


def _evaluates_in_steps(training: TrainingArguments) -> bool:
    return str(getattr(training.eval_strategy, "value", training.eval_strategy)) == "steps"


CHECKS: tuple[Check, ...] = (
    learning_rate_unusual, too_few_rows, warmup_longer_than_run, evaluation_unused, documents_joined,
)  # fmt: skip
