"""Checks of the schedule: learning rate, warmup, document boundaries."""

from collections.abc import Iterator

from pipelines.preflight.check_context import CheckContext
from pipelines.preflight.checks.evidence import Check
from pipelines.preflight.checks.usual_rates import usual_rates, warms_up
from pipelines.recipe.arguments import PretrainingArguments
from pipelines.records.finding import Evidence, Finding, Severity
from pipelines.training.pretrain.corpus_sources import is_text_file

MAX_WARMUP_SHARE = 0.5  # recipes warm up for 1% to 10% of a run; more than half is meant for another run


def learning_rate_unusual(context: CheckContext) -> Iterator[Finding]:
    """LEARNING_RATE_UNUSUAL: outside the range for stage, method and size, or a default for another method."""
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
        Severity.WARNING if rate else Severity.ERROR,
        summary=f"learning_rate is not set, and the default {rate:g} is too low for {usual.method}"
        if is_default
        else f"learning_rate {rate:g} is {'low' if low else 'high'} for {usual.method}; usual for this model are "
        f"{usual.lowest:.0e} to {usual.highest:.0e}",
        why=("at a low rate the model learns little" if rate else "nothing is learned")
        if low
        else "at a high rate the model diverges or forgets the base",
        remedy=f"set learning_rate: {usual.advised:.1e}".replace("e-0", "e-"),
    )


def warmup_longer_than_run(context: CheckContext) -> Iterator[Finding]:
    """WARMUP_LONGER_THAN_RUN: the learning rate reaches its peak never or late."""
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
        summary=f"the warmup takes {n_warmup} of the run's {about}{n_steps} steps",
        why="the learning rate never reaches the recipe's value"
        if share >= 1
        else "most of the run has a fraction of the recipe's learning rate",
        remedy="set warmup_steps: 0.03 (a value below 1 is a share of the run)",
        evidence=(Evidence(f"warmup_steps {written:g}, {about}{n_steps} steps"),),
    )


def documents_joined(context: CheckContext) -> Iterator[Finding]:
    """DOCUMENTS_JOINED: documents see those before them in a block, perhaps without an end token between them."""
    data = context.data
    if not isinstance(data, PretrainingArguments) or data.respect_documents:
        return
    paths = [str(getattr(part, "path", part)) for part in data.datasets] or [str(data.dataset_name)]
    n_documents = len(paths) if all(map(is_text_file, paths)) else context.train.n_rows
    if n_documents < 2:
        return
    separated = context.tokenizer.eos_token is not None
    yield Finding(
        "DOCUMENTS_JOINED",
        Severity.NOTE if separated else Severity.WARNING,
        summary=f"the blocks join {n_documents} documents (respect_documents: false)"
        + (f", separated by {context.tokenizer.eos_token}" if separated else " without an end token between them"),
        why="tokens are predicted from unrelated documents",
        remedy="remove respect_documents, or set it to true",
    )


CHECKS: tuple[Check, ...] = (learning_rate_unusual, warmup_longer_than_run, documents_joined)
