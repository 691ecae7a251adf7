"""Check that the recipe's template opens turns with the special tokens that the base has for it."""

import copy
from collections.abc import Iterator

from transformers import PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.modeling.chat.end_tokens import rendered_turn, special_tokens
from pipelines.modeling.chat.template_input import ANSWER, QUESTION
from pipelines.modeling.chat_template import spelled_marks
from pipelines.modeling.loading import load_tokenizer
from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.evidence import Check
from pipelines.records.finding import Evidence, Finding, Severity

# Special tokens that vocabularies reserve for turns, by family; the first of each opens a turn.
_FAMILIES = {
    "ChatML": ("<|im_start|>", "<|im_end|>"),
    "Llama 3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "Gemma": ("<start_of_turn>", "<end_of_turn>"),
    "Mistral": ("[INST]", "[/INST]"),
}
_NO_MARKS = "no special tokens"


def template_not_of_base(context: CheckContext) -> Iterator[Finding]:
    """TEMPLATE_NOT_OF_BASE: the recipe's template opens turns without the special tokens that the base has for it.

    Another family may end its turns with the same token.
    """
    path = getattr(context.training, "chat_template_path", None)
    if path is None or context.stage is not Stage.SFT or not context.is_conversational:
        return
    written = _openings(context.tokenizer)
    if expected := _own_openings(context):
        missing, whose = [mark for mark in expected if mark not in written], "own template"
    else:
        expected, whose = _reserved_openings(context), "vocabulary"
        in_plain_words = not written  # which needs none
        missing = [] if in_plain_words or not set(expected).isdisjoint(written) else expected
    if not missing:
        return
    opens = ", ".join(written[:4]) or _NO_MARKS
    yield Finding(
        "TEMPLATE_NOT_OF_BASE",
        Severity.WARNING,
        summary=f"the template of chat_template_path opens turns with {opens}, the base's {whose} has "
        f"{', '.join(expected)}",
        why="the base must learn other special tokens for turns although it has its own",
        remedy="remove chat_template_path",
        evidence=(Evidence(f"template {path}: {opens}"),
                  Evidence(f"base {context.base.name}: {', '.join(expected)}; missing: {', '.join(missing)}")),
    )  # fmt: skip


def _openings(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The special tokens before a question, and between it and its answer."""
    asked, answered = _marks_before(tokenizer)
    return list(dict.fromkeys([*asked, *answered]))


def _own_openings(context: CheckContext) -> list[str]:
    """The special tokens with which the base's own template opens a question and its answer, one of each.

    Further ones (of a thought) are no reason to choose a template.
    """
    if context.base.own_template is None:
        return []
    tokenizer = copy.copy(context.tokenizer)
    tokenizer.chat_template = context.base.own_template
    asked, answered = _marks_before(tokenizer)
    return answered[:1] if set(answered[:1]) & set(asked) else [*asked[-1:], *answered[:1]]


def _marks_before(tokenizer: PreTrainedTokenizerBase) -> tuple[list[str], list[str]]:
    """Special tokens before a question and before its answer, without those that end texts and turns."""
    try:
        prompt, whole = rendered_turn(tokenizer)
    except UserError:  # another finding
        return [], []
    ends = {tokenizer.bos_token, *_marks_in(tokenizer, whole.rpartition(ANSWER)[2])}
    before, _, after = whole.partition(QUESTION)
    between = prompt.rpartition(QUESTION)[2] + after.partition(ANSWER)[0]
    asked, answered = ([mark for mark in _marks_in(tokenizer, part) if mark not in ends] for part in (before, between))
    return asked, answered


def _marks_in(tokenizer: PreTrainedTokenizerBase, text: str) -> list[str]:
    known = {token for token in special_tokens(tokenizer) if token in text}
    return sorted({*known, *spelled_marks(text)}, key=text.index)


def _reserved_openings(context: CheckContext) -> list[str]:
    """The tokens with which the families open turns that the base's own vocabulary has."""
    vocabulary = load_tokenizer(context.base.name, context.model.model_revision).get_vocab()
    return [marks[0] for marks in _FAMILIES.values() if all(mark in vocabulary for mark in marks)]


CHECKS: tuple[Check, ...] = (template_not_of_base,)
