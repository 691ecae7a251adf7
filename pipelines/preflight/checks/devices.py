"""Checks of a run that is sharded over devices by FSDP."""

from collections.abc import Iterator

from pipelines.errors import UserError
from pipelines.modeling.adapters import refuse_sharded_token_rows
from pipelines.preflight.check_context import CheckContext
from pipelines.preflight.checks.evidence import Check
from pipelines.preflight.trained_weights import lora_plan
from pipelines.recipe.launch import sharding
from pipelines.records.finding import Finding, Severity


def four_bit_unsharded(context: CheckContext) -> Iterator[Finding]:
    """FOUR_BIT_UNSHARDED: 4-bit weights that FSDP leaves whole on every GPU, because of the type they are stored in."""
    stored = context.model.bnb_4bit_quant_storage or "uint8"
    if not context.model.load_in_4bit or "float" in stored or _sharded_by(context) != "FSDP":
        return
    yield Finding(
        "FOUR_BIT_UNSHARDED",
        Severity.WARNING,
        summary=f"FSDP with a 4-bit base, whose weights are stored as {stored}",
        why="accelerate shards only weights in a float type: every GPU keeps the whole base",
        remedy="set bnb_4bit_quant_storage: bfloat16",
        fix={"bnb_4bit_quant_storage": "bfloat16"},
    )


def token_rows_sharded(context: CheckContext) -> Iterator[Finding]:
    """TOKEN_ROWS_SHARDED: an adapter that trains rows of new tokens, which FSDP cannot shard."""
    plan = lora_plan(context)
    if plan is None:
        return
    try:
        refuse_sharded_token_rows(plan.config, _sharded_by(context))
    except UserError as error:
        why = "the run stops before or in its first step"
        yield Finding("TOKEN_ROWS_SHARDED", Severity.ERROR, error.problem, why, error.fix or "")


def _sharded_by(context: CheckContext) -> str | None:
    return sharding({"fsdp": context.training.fsdp, "deepspeed": context.training.deepspeed})


CHECKS: tuple[Check, ...] = (four_bit_unsharded, token_rows_sharded)
