"""Checks of the adapter: LoRA is on the layers that the recipe names, and no large table is trained by mistake."""

from collections.abc import Iterator
from typing import Any

from peft.utils.constants import EMBEDDING_LAYER_NAMES

from pipelines.modeling.step_memory.model_shape import model_shape
from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.evidence import Check
from pipelines.preflight.trained_weights import LoraPlan, dtype_of_weights, lora_plan
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

_MB = 1e6
# An adapter this much larger than its matrices, and this large, is a warning.
_BLOATED_TIMES, _BLOATED_BYTES = 5, 100 * _MB
_ALL_LINEAR = {"lora_target_modules": "all-linear"}


def targets_match_nothing(context: CheckContext) -> Iterator[Finding]:
    """LORA_TARGETS_MATCH_NOTHING: names in the LoRA keys that match no module, which PEFT ignores, or a wrong one."""
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
    kinds = dict.fromkeys(name.rpartition(".")[2] for name in plan.modules if name in plan.all_linear)
    fix = _without_unmatched(plan, faults)
    yield Finding(
        "LORA_TARGETS_MATCH_NOTHING",
        Severity.NOTE if harmless else Severity.ERROR,
        summary="; ".join(
            f"{len(names)} of {len(_written(plan)[key])} names in {key} get no adapter: {', '.join(names)}"
            for key, names in faults.items()
        ),
        why="PEFT trains what it finds and ignores the rest"
        if plan.adapted
        else "the run finds nothing to train and stops after it has loaded the base",
        remedy="set " + ", ".join(f"{key}: {_as_yaml(value)}" for key, value in fix.items()),
        evidence=(
            *(Evidence(f"{name}: {reason}") for name, reason in list(refused.items())[: MAX_EVIDENCE - 1]),
            Evidence(f"linear layers of this base: {', '.join(kinds)}"),
        ),
        fix=fix,
    )


def lora_on_q_and_v_only(context: CheckContext) -> Iterator[Finding]:
    """LORA_ON_Q_AND_V_ONLY: LoRA only on the query and value projections, PEFT's old default."""
    plan = lora_plan(context)
    if plan is None or not plan.adapted:
        return
    kinds = {name.rpartition(".")[2] for name in plan.adapted}
    if kinds <= {"q_proj", "v_proj"}:
        yield Finding(
            "LORA_ON_Q_AND_V_ONLY",
            Severity.WARNING,
            summary=f"LoRA is on {len(plan.adapted)} of the {len(plan.all_linear)} linear layers, "
            f"only {' and '.join(sorted(kinds))}",
            # Dettmers et al. 2023, QLoRA, section 4 (figure 2); Schulman 2025, LoRA Without Regret
            why="LoRA on query and value alone is worse than full fine-tuning; on all linear layers it is as good "
            "(QLoRA paper, section 4)",
            remedy="set lora_target_modules: all-linear",
        )


def tied_head_saved(context: CheckContext) -> Iterator[Finding]:
    """TIED_HEAD_SAVED: the adapter trains the embeddings or the head of a base that has both in one table."""
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
            summary=f"lora_modules_to_save trains all {plan.n_rows:,} rows of the tied embeddings and head, "
            f"{_megabytes(plan.table_bytes)} in float32, and saves it at least twice",
            why="the adapter becomes as large as the table, and the base forgets words that are not in the rows",
            remedy=_without_tables(plan),
            evidence=(Evidence(_sizes(plan, 2)),),
        )
    elif plan.embeddings_name in plan.adapted and not plan.config.trainable_token_indices:
        yield Finding(
            "TIED_HEAD_SAVED",
            Severity.WARNING,
            summary="lora_target_modules puts LoRA on the embeddings of a base whose head is the same table",
            why="the adapter changes only the embeddings, but merging changes the head too, so a merged model gives "
            "other answers",
            remedy="set lora_target_modules: all-linear",
            evidence=(Evidence(f"{plan.embeddings_name} and {plan.head_name} are one weight"),),
        )


def embeddings_saved_whole(context: CheckContext) -> Iterator[Finding]:
    """EMBEDDINGS_SAVED_WHOLE: whole embedding tables of an untied base in the adapter."""
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
        why="the adapter is mostly a copy of the base's vocabulary, and its optimizer needs twice that memory",
        remedy=_without_tables(plan),
        evidence=(Evidence(_sizes(plan, len(tables))),),
    )


def lora_on_embeddings_with_new_tokens(context: CheckContext) -> Iterator[Finding]:
    """LoRA on embeddings whose new rows are trained too: PEFT allows only one of the two on a module."""
    plan = lora_plan(context)
    if plan is None or plan.embeddings_name not in plan.adapted or not plan.config.trainable_token_indices:
        return
    yield Finding(
        "TIED_HEAD_SAVED" if plan.is_tied else "EMBEDDINGS_SAVED_WHOLE",
        Severity.ERROR,
        summary="lora_target_modules puts LoRA on the embeddings, whose rows for new tokens are already trained",
        why="PEFT allows only one of the two, and the run stops after it has loaded the base",
        remedy="set lora_target_modules: all-linear",
        evidence=(Evidence(f"new tokens: {', '.join(context.new_tokens[:MAX_EVIDENCE])}"),),
        fix=_ALL_LINEAR,
    )


def quantized_base(context: CheckContext) -> Iterator[Finding]:
    """FOUR_BIT_DTYPE: a quantized base without an adapter, or with other weights that are not in bfloat16."""
    model = context.model
    if not (model.load_in_4bit or model.load_in_8bit):
        return
    key = "load_in_4bit" if model.load_in_4bit else "load_in_8bit"
    if not model.use_peft and context.base.adapter is None:
        yield Finding(
            "FOUR_BIT_DTYPE",
            Severity.ERROR,
            summary=f"{key} without use_peft: {key[8:-3]}-bit weights cannot be trained",
            why="the run finds nothing to train and stops after it has loaded the base",
            remedy=f"set use_peft: true, or remove {key}",
            fix={"use_peft": True},
        )
    elif model.load_in_4bit:
        dtype = dtype_of_weights(context)
        if dtype == "float16" or (dtype == "float32" and context.training.bf16):
            yield _dtype_of_the_rest(context, dtype)


def lora_keys_unused(context: CheckContext) -> Iterator[Finding]:
    """LORA_KEYS_UNUSED: LoRA keys without `use_peft: true`, which TRL ignores: it trains all weights."""
    keys = [key for key in context.keys if key.startswith("lora_") or key in ("use_dora", "use_rslora")]
    if keys and "use_peft" not in context.keys and context.base.adapter is None:
        yield Finding(
            "LORA_KEYS_UNUSED",
            Severity.ERROR,
            summary=f"the recipe has {', '.join(keys)} but not use_peft: true, so all weights are trained",
            why="full fine-tuning at LoRA's learning rate damages the model and needs several times the memory",
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
        summary=f"load_in_4bit with {written}: embeddings, head and norms are loaded in {dtype} ({cost})",
        why="the 4-bit layers compute in bfloat16, so float32 around them only costs memory"
        if dtype == "float32"
        else "the 4-bit layers compute in bfloat16 or float32, where float16 overflows",
        remedy="set dtype: bfloat16",
        fix={"dtype": "bfloat16"},
    )


def _refused_targets(context: CheckContext, plan: LoraPlan) -> dict[str, str]:
    """Entries of `lora_target_modules` that match only modules without LoRA, with the reason."""
    refused = {}
    for target in plan.named_targets:
        matched = plan.matched_by(target)
        if plan.head_name in matched and context.stage is not Stage.PRETRAIN:
            refused[target] = f"{plan.head_name} is the output head, whose weight TRL's loss reads without the adapter"
        elif matched and not plan.adapted & set(matched):
            refused[target] = f"{matched[0]} is a {type(plan.modules[matched[0]]).__name__}, not a linear layer"
    return refused


def _written(plan: LoraPlan) -> dict[str, list[str]]:
    """The names in each key."""
    return {"lora_target_modules": plan.named_targets, "lora_modules_to_save": plan.saved_names,
            "lora_target_parameters": list(plan.config.target_parameters or [])}  # fmt: skip


def _without_unmatched(plan: LoraPlan, faults: dict[str, list[str]]) -> dict[str, Any]:
    """The keys without the names that match nothing; targets become all linear layers."""
    written = _written(plan)
    return {
        key: "all-linear" if key == "lora_target_modules" else [one for one in written[key] if one not in names] or None
        for key, names in faults.items()
    }


def _as_yaml(value: Any) -> str:
    if value is None:
        return "null"
    return f"[{', '.join(value)}]" if isinstance(value, list) else str(value)


def _peft_knows(plan: LoraPlan) -> bool:
    """Whether PEFT knows the tied table by its name in the recipe, and keeps embeddings and head tied. Under GPT-2's
    name (`wte`) it trains one of the two and leaves the other."""
    return any(name.rpartition(".")[2] in EMBEDDING_LAYER_NAMES for name in plan.saved_names)


def _untied(plan: LoraPlan, tables: list[str]) -> Finding:
    other = plan.head_name if plan.embeddings_name in tables else plan.embeddings_name
    return Finding(
        "TIED_HEAD_SAVED",
        Severity.ERROR,
        summary=f"lora_modules_to_save trains {' and '.join(tables)} apart from {other}, which is the same table",
        why=f"PEFT does not know the table by this name: {other} keeps the old rows, and the model is no longer tied",
        remedy=_without_tables(plan),
        evidence=(Evidence(f"{plan.embeddings_name} and {plan.head_name} are one weight"),),
        fix={"lora_modules_to_save": _others(plan) or None},
    )


def _others(plan: LoraPlan) -> list[str]:
    return [name for name in plan.saved_names if not set(plan.saved_by(name)) & set(plan.saved_tables)]


def _without_tables(plan: LoraPlan) -> str:
    others = _others(plan)
    how = f"set lora_modules_to_save: {_as_yaml(others)}" if others else "remove lora_modules_to_save"
    return f"{how}; the rows of new tokens are trained anyway, not those that the base has and never trained"


def _sizes(plan: LoraPlan, n_tables: int) -> str:
    matrices = plan.n_matrix_weights * 4
    whole = matrices + n_tables * plan.table_bytes
    return f"LoRA's matrices have {_megabytes(matrices)}, the adapter would have {_megabytes(whole)}"


def _megabytes(n_bytes: float) -> str:
    return f"{n_bytes / _MB:,.0f} MB" if n_bytes >= 10 * _MB else f"{n_bytes / _MB:.2g} MB"


CHECKS: tuple[Check, ...] = (
    targets_match_nothing, lora_on_q_and_v_only, tied_head_saved, embeddings_saved_whole,
    lora_on_embeddings_with_new_tokens, quantized_base, lora_keys_unused,
)  # fmt: skip
