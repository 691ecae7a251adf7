"""What this program cures by itself and `trl sft` would not, for those who run the same recipe there."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from trl import SFTConfig

from data_prep.conversation import RowFormat
from pipelines.modeling.chat_template import token_id_of, wants_bos
from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.evidence import Check, share_of
from pipelines.preflight.checks.row_facts import end_token_id, format_of
from pipelines.recipe.arguments import TrainOn
from pipelines.records.finding import Finding, Severity


class _Cured(NamedTuple):
    """What `trl sft` would do, and the key or change with which it does not."""

    there: str
    remedy: str


def cured_here(context: CheckContext) -> Iterator[Finding]:
    """CURED_HERE: what would ruin the same recipe under `trl sft`."""
    if context.stage is not Stage.SFT or not any(row.examples for row in context.train.rows):
        return  # the template is unusable, here too
    if cured := [one for one in (find(context) for find in _CURES) if one is not None]:
        yield Finding(
            "CURED_HERE",
            Severity.NOTE,
            summary=f"with this recipe `trl sft` would {'; '.join(one.there for one in cured)}",
            why="sft.py does none of this; another trainer does so without a message",
            remedy=f"nothing to do here; for trl sft {', '.join(one.remedy for one in cured)}",
        )


def _other_end_token(context: CheckContext) -> _Cured | None:
    """sft.py makes the template's end of turn the EOS token; TRL leaves the base's."""
    tokenizer, base = context.tokenizer, context.base
    there = str(tokenizer.init_kwargs.get("eos_token"))
    source = base.generation_config or base.config.get_text_config()
    stops = getattr(source, "eos_token_id", None)
    if not context.is_conversational or "eos_token" in context.keys or there == tokenizer.eos_token:
        return None
    end = end_token_id(context)
    if end >= context.base.n_embedding_rows:  # TRL has no such token
        return None
    if end in (stops if isinstance(stops, list) else [stops]):
        return None
    return _Cured(
        f"keep {there} as the end token, at which generation stops, where turns end with {tokenizer.eos_token}",
        f"set eos_token: '{tokenizer.eos_token}'",
    )


def _new_tokens_as_text(context: CheckContext) -> _Cured | None:
    """sft.py adds the template's special tokens to the vocabulary and trains their rows."""
    rows = context.base.n_embedding_rows
    added = [one for one in context.new_tokens if token_id_of(context.tokenizer, one) >= rows]
    if not added or "chat_template_path" not in context.keys:
        return None
    shown = ", ".join(added[:3])
    return _Cured(f"spell {shown} as ordinary text, no token of its own", f"add {shown} to the base's tokenizer")


def _prompts_in_loss(context: CheckContext) -> _Cured | None:
    """Of messages TRL trains every token by default."""
    if format_of(context) not in (RowFormat.MESSAGES, RowFormat.SHAREGPT):
        return None
    if {"assistant_only_loss", "completion_only_loss"} & context.keys.keys():
        return None
    rows = [row for row in context.train.rows if row.asked.strip() and row.examples]
    return _Cured(f"train the prompts of {len(rows)} rows", "set assistant_only_loss: true") if rows else None


def _marked_turns(context: CheckContext) -> _Cured | None:
    """Turns with `weight: 0` or `train: false` are context here."""
    if getattr(context.data, "train_on", None) is not TrainOn.ALL_TURNS:
        return None
    n_rows = sum(
        sum(one["role"] == "assistant" for one in row.messages) > len(row.answers) for row in context.train.rows
    )
    return _Cured(f"train the turns of {n_rows} rows that are marked as context", "cut them off") if n_rows else None


def _long_rows(context: CheckContext) -> _Cured | None:
    """TRL cuts the end off, without a word."""
    length = context.max_length
    if length is None or "long_rows" in context.keys:
        return None
    training = cast(SFTConfig, context.training)
    if training.packing and training.packing_strategy == "bfd_split":
        return None
    longest = [max(map(len, row.whole), default=0) for row in context.train.rows]
    n_long = sum(one > length for one in longest)
    if not n_long:
        return None
    return _Cured(f"cut off the end of {share_of(n_long, len(longest))} answers", f"set max_length: {max(longest)}")


def _few_targets(context: CheckContext) -> _Cured | None:
    """PEFT's default targets are a few layers of attention."""
    model = context.model
    if not model.use_peft or model.lora_target_modules or model.lora_target_parameters or context.base.adapter:
        return None
    family = str(context.base.config.get_text_config().model_type)
    targets = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(family)
    if not targets:
        return None
    return _Cured(f"put LoRA on {' and '.join(targets)} alone", "set lora_target_modules: all-linear")


def _second_bos(context: CheckContext) -> _Cured | None:
    """The tokenizer adds BOS before prompts of plain text that have it already."""
    if format_of(context) is not RowFormat.PROMPT_COMPLETION or context.is_conversational:
        return None
    bos = str(context.tokenizer.bos_token)
    n_rows = sum(row.asked.startswith(bos) for row in context.train.rows)
    if not n_rows or not wants_bos(context.tokenizer):
        return None
    return _Cured(f"write {bos} twice at the beginning of {n_rows} rows", f"remove {bos} from the prompts")


_CURES: tuple[Callable[[CheckContext], _Cured | None], ...] = (
    _other_end_token, _new_tokens_as_text, _second_bos, _prompts_in_loss, _marked_turns, _long_rows, _few_targets,
)  # fmt: skip
CHECKS: tuple[Check, ...] = (cured_here,)
