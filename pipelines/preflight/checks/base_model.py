"""Checks of the base model: it is a base, and the machine supports the precision."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipelines.errors import UserError
from pipelines.files import read_json
from pipelines.hub.model_ref import is_adapter
from pipelines.modeling.chat_template import token_id_of
from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.evidence import Check
from pipelines.preflight.trained_weights import dtype_of_weights, lora_plan, n_rows_after_resizing
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

# Words in the names of instruct models.
_INSTRUCT_WORDS = frozenset(
    (
        "instruct", "chat", "chatbot", "assistant", "thinking", "sft", "dpo", "orpo", "kto", "rlhf", "rlvr",
        "vicuna", "zephyr", "tulu", "openchat", "wizardlm",
    )
)  # fmt: skip
_BASE_WORDS = frozenset({"base", "pretrained", "pt"})
_GEMMA_STYLE = re.compile(r"\d[bm]-it(\b|-|_)")  # gemma-3-1b-it; "-it" alone may be Italian
_WITHOUT_A_WORD = re.compile(r"^(qwen/qwen3-[\d.]+b(-a\d+b)?|huggingfacetb/smollm3-3b|openai/gpt-oss-\d+b)$")

# AdamW moves a weight by about the learning rate, and bfloat16 rounds away changes below 2**-9 of it.
# Of weights of 0.02 (how matrices begin), 200 steps at 1e-5 move 15 %, at 5e-5 56 %, at 1e-4 87 %, at 2e-4 all, in
# float32 all at each.
_FROZEN_BELOW = 1e-4


def base_is_instruct(context: CheckContext) -> Iterator[Finding]:
    """BASE_IS_INSTRUCT: an instruct model instead of a base; DPO is meant to start from one.

    A note where its own template is kept: many tune an instruct model further on purpose.
    """
    if context.stage is Stage.DPO or context.base.from_scratch:
        return
    reason = _run_that_made(context.base.name) or _name_says(context.base.name) or _config_says(context.base.name)
    if not reason:
        return
    keeps_template = context.is_conversational and context.tokenizer.chat_template == context.base.own_template
    if context.stage is Stage.PRETRAIN:
        why = "pretraining on plain text makes it forget conversations"
    elif keeps_template:
        why = "its own template is kept, so the run goes on from its training; a comparison shows a smaller gain"
    else:
        why = "another prompt format than its own overwrites what its authors trained"
    yield Finding(
        "BASE_IS_INSTRUCT",
        Severity.NOTE if keeps_template else Severity.WARNING,
        summary=f"{context.base.name} is not a base model: {reason}",
        why=why,
        remedy="set model_name_or_path to its base model"
        + ("" if keeps_template or context.stage is Stage.PRETRAIN else ", or train conversations in its own template"),
    )


def dtype_against_hardware(context: CheckContext) -> Iterator[Finding]:
    """DTYPE_AGAINST_HARDWARE: a precision that the machine lacks, or in which training fails or does not move."""
    dtype = dtype_of_weights(context)
    trains_all = not context.model.use_peft and context.base.adapter is None
    emulated = not context.machine.supports_bfloat16
    if dtype == "float16" and trains_all:
        yield _float16_weights(context)
    elif emulated and (context.training.bf16 or dtype == "bfloat16"):
        yield _emulated_bfloat16(context, dtype, trains_all)
    elif dtype == "float16" and context.training.bf16:
        yield _dtype_finding(
            Severity.WARNING,
            "bf16: true with dtype: float16: the base is stored in one 16-bit type and computed in the other",
            "activations of models trained in bfloat16 overflow in float16, above 65,504",
            "set dtype: bfloat16",
            {"dtype": "bfloat16"},
        )
    elif dtype == "bfloat16" and trains_all and context.training.learning_rate < _FROZEN_BELOW:
        yield _frozen_bfloat16(context)
    elif context.machine.accelerator is None and (context.training.fp16 or context.keys.get("fp16")):
        computed = "bfloat16" if context.training.bf16 else dtype
        yield _dtype_finding(
            Severity.NOTE,
            f"fp16: true has no effect on a CPU, which computes in {computed}",
            "the run is not a test of the same recipe on a GPU",
            "remove fp16: the program chooses the precision for the machine",
        )


def embeddings_resized(context: CheckContext) -> Iterator[Finding]:
    """EMBEDDINGS_RESIZED: new tokens get new rows of the embeddings."""
    before, after = context.base.n_embedding_rows, n_rows_after_resizing(context)
    if after <= before or context.base.from_scratch:
        return
    added = [token for token in context.new_tokens if token_id_of(context.tokenizer, token) >= before]
    plan = lora_plan(context)
    if plan is None:
        trained = "the adapter has the new rows" if context.base.adapter else "all rows are trained"
    elif plan.saved_tables:
        trained = "lora_modules_to_save trains the whole table"
    else:
        trained = "LoRA trains only the rows of new tokens, and saves them in the adapter"
    yield Finding(
        "EMBEDDINGS_RESIZED",
        Severity.NOTE,
        summary=f"the embeddings grow from {before:,} to {after:,} rows; {trained}",
        why="the model needs this tokenizer, and the adapter needs a base that is resized in the same way",
        remedy="nothing to do; a base with reserved special tokens for chat does not grow",
        evidence=(Evidence(f"added: {_listed(added)}"),) if added else (),
    )


def _float16_weights(context: CheckContext) -> Finding:
    scaled = "the gradient scaler raises an error for float16 weights at the first step"
    return _dtype_finding(
        Severity.ERROR,
        "all weights are trained in dtype: float16",
        scaled if context.training.fp16 else "AdamW's epsilon of 1e-8 is 0 in float16, so weights become NaN",
        "set dtype: float32",
        {"dtype": "float32"},
    )


def _emulated_bfloat16(context: CheckContext, dtype: str, trains_all: bool) -> Finding:
    asked = "bf16: true" if context.training.bf16 else "dtype: bfloat16"
    if context.machine.accelerator is None:
        return _dtype_finding(
            Severity.WARNING,
            f"{asked} on a processor that has no bfloat16 arithmetic",
            "bfloat16 is many times slower than float32 there",
            f"remove {asked.partition(':')[0]} from the command line: the program chooses the precision",
        )
    weights = "float32" if trains_all else "float16"
    fix = {"bf16": False, "fp16": True, "dtype": weights if dtype == "bfloat16" else dtype}
    return _dtype_finding(
        Severity.WARNING,
        f"{asked} on {context.machine.accelerator}, which has no bfloat16 arithmetic",
        "torch emulates it, many times slower than float16",
        f"set bf16: false, fp16: true and dtype: {fix['dtype']}",
    )


def _frozen_bfloat16(context: CheckContext) -> Finding:
    return _dtype_finding(
        Severity.WARNING,
        f"all weights are trained in bfloat16 at a learning rate of {context.training.learning_rate:g}",
        "bfloat16 rounds such small steps away, so many weights hardly change",
        "set dtype: float32 (the program still computes in bfloat16 where the hardware has it), or use_peft: true",
    )


def _dtype_finding(
    severity: Severity, summary: str, why: str, remedy: str, fix: Mapping[str, object] | None = None
) -> Finding:
    return Finding("DTYPE_AGAINST_HARDWARE", severity, summary, why, remedy, fix=fix or {})


def _run_that_made(name: str) -> str | None:
    """The program of this project that wrote the folder or the checkpoint, if it made an instruct model."""
    for folder in (Path(name), Path(name).parent) if Path(name).is_dir() else ():
        record = folder / "run.json"
        try:
            program = read_json(record).get("program") if record.is_file() else None
        except UserError:
            return None
        if program in ("sft", "dpo"):
            return f"{program}.py wrote it, by its run.json"
        if not folder.name.startswith("checkpoint-"):
            break
    return None


def _name_says(name: str) -> str | None:
    """An instruct model's word in the last part of a path or Hub id; of a checkpoint in the run's name."""
    parts = [part for part in re.split(r"[/\\]", name) if part]
    cached = [part for part in parts if part.startswith("models--")]
    while len(parts) > 1 and re.fullmatch(r"checkpoint-\d+|final|merged", parts[-1]):
        parts.pop()
    last = (cached or parts or [""])[-1].lower()
    words = set(re.split(r"[^a-z0-9]+", last))
    if words & _BASE_WORDS:
        return None
    found = sorted(words & _INSTRUCT_WORDS)
    if not found and _GEMMA_STYLE.search(last):
        found = ["it"]
    if found:
        return f"its name contains {found[0]!r}"
    is_id = len(parts) == 2 and not Path(name).exists()
    return "the base of this family has another name" if is_id and _WITHOUT_A_WORD.match(name.lower()) else None


def _config_says(name: str) -> str | None:
    """The model in `_name_or_path` of a folder's config.json, which older versions wrote."""
    config = Path(name) / "config.json"
    if not config.is_file() or is_adapter(name):
        return None
    try:
        began_as = json.loads(config.read_text(encoding="utf-8")).get("_name_or_path")
    except (OSError, ValueError):
        return None
    said = _name_says(began_as) if isinstance(began_as, str) else None
    return f"its config.json names {began_as}, whose name {said.removeprefix('its name ')}" if said else None


def _listed(marks: list[str]) -> str:
    shown = sorted(marks)
    return ", ".join(shown[: MAX_EVIDENCE + 1]) + (", ..." if len(shown) > MAX_EVIDENCE + 1 else "")


CHECKS: tuple[Check, ...] = (base_is_instruct, dtype_against_hardware, embeddings_resized)
