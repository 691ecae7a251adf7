"""Checks of the adapter: does LoRA land where the recipe says, and is nothing large trained or saved unasked."""

from collections.abc import Iterator
from typing import Any

from peft.utils.constants import EMBEDDING_LAYER_NAMES

from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.kind import Check
from pipelines.preflight.forecast.model_shape import model_shape
from pipelines.preflight.trained_weights import LoraPlan, dtype_of_weights, lora_plan
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

_MB = 1e6
# An adapter that is this much larger than its matrices, and this large, is no longer what one shares as an adapter.
_BLOATED_TIMES, _BLOATED_BYTES = 5, 100 * _MB
_ALL_LINEAR = {"lora_target_modules": "all-linear"}


def targets_match_nothing(context: CheckContext) -> Iterator[Finding]:
    """Names in the LoRA keys that name no module, or one that cannot be adapted: PEFT drops the first in silence."""
    plan = lora_plan(context)
    if plan is None:
        return
    unmatched = [name for name in plan.named_targets if not plan.matched_by(name)]
    refused = _refused_targets(context, plan)
    parameters = [name for name in plan.config.target_parameters or [] if not plan.parameters_of([name])]
    saved = [name for name in plan.saved_names if not plan.saved_by(name)]
    keys = {"lora_target_modules": unmatched + list(refused), "lora_target_parameters": parameters,
            "lora_modules_to_save": saved}  # fmt: skip
    faults = {key: names for key, names in keys.items() if names}
    if not faults:
        return
    harmless = list(faults) == ["lora_target_modules"] and not refused and plan.adapted >= plan.all_linear
    fix = _mended(plan, faults)
    yield Finding(
        "LORA_TARGETS_MATCH_NOTHING",
        Severity.NOTE if harmless else Severity.ERROR,
        summary="; ".join(
            f"{len(names)} of {_n_names(plan, key)} names in {key} get no adapter: {', '.join(names)}"
            for key, names in faults.items()
        ),
        why="PEFT trains the modules it finds and does not report the others"
        if plan.adapted
        else "the run stops after the base is loaded, with nothing to train",
        remedy="set " + ", ".join(f"{key}: {_written(value)}" for key, value in fix.items()),
        evidence=(*_reasons(refused), Evidence(f"the linear layers of this base: {', '.join(_kinds(plan))}")),
        fix=fix,
    )


def lora_on_q_and_v_only(context: CheckContext) -> Iterator[Finding]:
    """Explicit targets that are the query and value projections alone, the default of old."""
    plan = lora_plan(context)
    if plan is None or not plan.adapted:
        return
    kinds = {name.rpartition(".")[2] for name in plan.adapted}
    if kinds <= {"q_proj", "v_proj"}:
        yield Finding(
            "LORA_ON_Q_AND_V_ONLY",
            Severity.WARNING,
            summary=f"LoRA is on {len(plan.adapted)} of the {len(plan.all_linear)} linear layers, "
            f"{' and '.join(sorted(kinds))} alone",
            # Dettmers et al. 2023, QLoRA, section 4 (figure 2); Schulman 2025, LoRA Without Regret
            why="LoRA on query and value only is worse than full fine-tuning; on all linear layers it "
            "does not (QLoRA paper, section 4)",
            remedy="set lora_target_modules: all-linear",
        )


def tied_head_saved(context: CheckContext) -> Iterator[Finding]:
    """Embeddings or head named for the adapter of a base that has both in one table."""
    plan = lora_plan(context)
    if plan is None or not plan.is_tied:
        return
    tables = plan.saved_tables
    if tables and not _peft_knows(plan):
        yield _untied(plan, tables)
    elif tables:
        yield Finding(
            "TIED_HEAD_SAVED",
            Severity.WARNING,
            summary=f"lora_modules_to_save trains all {plan.n_rows:,} rows of the table that is both embeddings and "
            f"head, {_megabytes(plan.table_bytes)} in float32, and the adapter stores it at least twice",
            why="the adapter becomes as large as the embedding matrix, and training changes the base's words",
            remedy=_without_tables(plan),
            evidence=(Evidence(_sizes(plan, 2)),),
        )
    elif plan.embeddings_name in plan.adapted and not plan.config.trainable_token_indices:
        yield Finding(
            "TIED_HEAD_SAVED",
            Severity.WARNING,
            summary="lora_target_modules puts LoRA on embeddings that are tied to the output head",
            why="the adapter changes the embeddings alone, a merged model the head with them: it answers otherwise "
            "than the model that was trained",
            remedy="set lora_target_modules: all-linear",
            evidence=(Evidence(f"{plan.embeddings_name} and {plan.head_name} are one weight"),),
        )


def embeddings_saved_whole(context: CheckContext) -> Iterator[Finding]:
    """Whole embedding tables of an untied base in the adapter."""
    plan = lora_plan(context)
    if plan is None or plan.is_tied or not plan.saved_tables:
        return
    tables = plan.saved_tables
    n_bytes = plan.table_bytes * len(tables)
    bloated = n_bytes > _BLOATED_BYTES and n_bytes > (_BLOATED_TIMES - 1) * plan.n_matrix_weights * 4
    yield Finding(
        "EMBEDDINGS_SAVED_WHOLE",
        Severity.WARNING if bloated else Severity.NOTE,
        summary=f"lora_modules_to_save trains and saves {' and '.join(tables)} whole, {_megabytes(n_bytes)} in float32",
        why="the adapter is mostly a copy of the base's vocabulary, and its optimizer takes twice as much memory again",
        remedy=_without_tables(plan),
        evidence=(Evidence(_sizes(plan, len(tables))),),
    )


def lora_on_embeddings_with_new_tokens(context: CheckContext) -> Iterator[Finding]:
    """LoRA on embeddings some rows of which are trained beside it: PEFT refuses both on one module."""
    plan = lora_plan(context)
    if plan is None or plan.embeddings_name not in plan.adapted or not plan.config.trainable_token_indices:
        return
    yield Finding(
        "TIED_HEAD_SAVED" if plan.is_tied else "EMBEDDINGS_SAVED_WHOLE",
        Severity.ERROR,
        summary="lora_target_modules puts LoRA on the embeddings, whose rows of new tokens are trained already",
        why="PEFT takes one of the two and the run stops once the base is loaded",
        remedy="set lora_target_modules: all-linear",
        evidence=(Evidence(f"new tokens: {', '.join(context.new_tokens[:MAX_EVIDENCE])}"),),
        fix=_ALL_LINEAR,
    )


def quantized_base(context: CheckContext) -> Iterator[Finding]:
    """A quantized base without an adapter, or whose other weights are not in bfloat16, in which the run computes."""
    model = context.model
    if not (model.load_in_4bit or model.load_in_8bit):
        return
    key = "load_in_4bit" if model.load_in_4bit else "load_in_8bit"
    if not model.use_peft and context.base.adapter is None:
        yield Finding(
            "FOUR_BIT_DTYPE",
            Severity.ERROR,
            summary=f"{key} without use_peft: weights of {key[8:-3]} bits cannot be trained",
            why="the run stops after the base is loaded, with nothing to train",
            remedy=f"set use_peft: true, or remove {key}",
            fix={"use_peft": True},
        )
    elif model.load_in_4bit:
        dtype = dtype_of_weights(context)
        if dtype == "float16" or (dtype == "float32" and context.training.bf16):
            yield _dtype_of_the_rest(context, dtype)


def lora_keys_unused(context: CheckContext) -> Iterator[Finding]:
    """Keys of LoRA in a recipe without `use_peft: true`: TRL reads none of them and trains all weights."""
    keys = [key for key in context.keys if key.startswith("lora_") or key in ("use_dora", "use_rslora")]
    if keys and "use_peft" not in context.keys and context.base.adapter is None:
        yield Finding(
            "LORA_KEYS_UNUSED",
            Severity.ERROR,
            summary=f"the recipe has {', '.join(keys)} and no use_peft: true: all weights are trained",
            why="full fine-tuning at LoRA's learning rate damages the model and needs several times its memory",
            remedy="set use_peft: true, or remove the keys",
            fix={"use_peft": True},
        )


def _dtype_of_the_rest(context: CheckContext, dtype: str) -> Finding:
    shape = model_shape(context.base.config)
    n_rest = shape.n_parameters - shape.n_matrix_parameters
    cost = f"{_megabytes(n_rest * 4)} instead of {_megabytes(n_rest * 2)}" if dtype == "float32" else "as large"
    written = f"dtype: {context.model.dtype}" if "dtype" in context.keys else "no dtype, which means float32"
    return Finding(
        "FOUR_BIT_DTYPE",
        Severity.WARNING,
        summary=f"load_in_4bit with {written}: embeddings, head and norms (not quantized) are loaded in {dtype} "
        f"({cost})",
        why="the 4-bit layers compute in bfloat16 here whatever dtype says, so float32 around them only costs memory"
        if dtype == "float32"
        else "the 4-bit layers compute in bfloat16 or float32, and float16 around them overflows where those do not",
        remedy="set dtype: bfloat16",
        fix={"dtype": "bfloat16"},
    )


def _refused_targets(context: CheckContext, plan: LoraPlan) -> dict[str, str]:
    """Entries of `lora_target_modules` that name only what cannot be adapted, with the reason."""
    refused = {}
    for target in plan.named_targets:
        matched = plan.matched_by(target)
        if plan.head_name in matched and context.stage is not Stage.PRETRAIN:
            refused[target] = f"{plan.head_name} is the output head: TRL's loss reads its weight past any adapter"
        elif matched and not plan.adapted & set(matched):
            refused[target] = f"{matched[0]} is a {type(plan.modules[matched[0]]).__name__}, no linear layer"
    return refused


def _mended(plan: LoraPlan, faults: dict[str, list[str]]) -> dict[str, Any]:
    """The keys without the names that match nothing; targets become all linear layers, which were meant."""
    written = {"lora_target_parameters": list(plan.config.target_parameters or []),
               "lora_modules_to_save": plan.saved_names}  # fmt: skip
    fix: dict[str, Any] = {}
    for key, names in faults.items():
        fix[key] = "all-linear" if key == "lora_target_modules" else [n for n in written[key] if n not in names] or None
    return fix


def _n_names(plan: LoraPlan, key: str) -> int:
    names = {"lora_target_modules": plan.named_targets, "lora_modules_to_save": plan.saved_names,
             "lora_target_parameters": plan.config.target_parameters or []}  # fmt: skip
    return len(names[key])


def _written(value: Any) -> str:
    if value is None:
        return "null"
    return f"[{', '.join(value)}]" if isinstance(value, list) else str(value)


def _reasons(refused: dict[str, str]) -> list[Evidence]:
    return [Evidence(f"{target}: {reason}") for target, reason in list(refused.items())[: MAX_EVIDENCE - 1]]


def _kinds(plan: LoraPlan) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[2] for name in plan.modules if name in plan.all_linear))


def _peft_knows(plan: LoraPlan) -> bool:
    """Whether PEFT recognizes the tied table by what the recipe calls it, and so keeps embeddings and head one.

    It goes by these names alone; under GPT-2's own (`wte`) it trains one of the two and leaves the other.
    """
    return any(name.rpartition(".")[2] in EMBEDDING_LAYER_NAMES for name in plan.saved_names)


def _untied(plan: LoraPlan, tables: list[str]) -> Finding:
    other = plan.head_name if plan.embeddings_name in tables else plan.embeddings_name
    return Finding(
        "TIED_HEAD_SAVED",
        Severity.ERROR,
        summary=f"lora_modules_to_save trains {' and '.join(tables)} apart from {other}, which is the same table in "
        "this base",
        why=f"PEFT does not know the table by this name: {other} keeps the old rows, new tokens' among them, and the "
        "model is no longer tied",
        remedy=_without_tables(plan),
        evidence=(Evidence(f"{plan.embeddings_name} and {plan.head_name} are one weight"),),
        fix={"lora_modules_to_save": _others(plan) or None},
    )


def _others(plan: LoraPlan) -> list[str]:
    return [name for name in plan.saved_names if not set(plan.saved_by(name)) & set(plan.saved_tables)]


def _without_tables(plan: LoraPlan) -> str:
    others = _others(plan)
    how = f"set lora_modules_to_save: {_written(others)}" if others else "remove lora_modules_to_save"
    return f"{how}; the rows of new tokens are trained without it"


def _sizes(plan: LoraPlan, n_tables: int) -> str:
    matrices = plan.n_matrix_weights * 4
    whole = matrices + n_tables * plan.table_bytes
    return f"LoRA's own matrices are {_megabytes(matrices)}, the adapter would be {_megabytes(whole)}"


def _megabytes(n_bytes: float) -> str:
    return f"{n_bytes / _MB:,.0f} MB" if n_bytes >= 10 * _MB else f"{n_bytes / _MB:.2g} MB"


CHECKS: tuple[Check, ...] = (
    targets_match_nothing, lora_on_q_and_v_only, tied_head_saved, embeddings_saved_whole,
    lora_on_embeddings_with_new_tokens, quantized_base, lora_keys_unused,
)  # fmt: skip
