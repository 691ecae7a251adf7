"""A check for the boundary between a prompt and a completion that are plain text.

Most tokenizers join a space with the word after it. After a prompt that ends in a space the model gets a lone space and
a word without one, which it has hardly seen in its own training.
"""

import re
from collections.abc import Iterator

from transformers import PreTrainedTokenizerBase

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import Check, row_evidence, share_of
from pipelines.records.finding import Finding, Severity

_WARNING_SHARE = 0.2  # of the rows; code that is cut anywhere ends in a space less often
_EDGE = 40  # characters before and after the boundary that are tokenized
_N_TOKENIZED = 50
# Letters of scripts that write spaces between words. Text that is cut anywhere, such as code, is glued less often.
_WORD_END = re.compile(r"[^\W_\u0e00-\u0eff\u1780-\u17ff\u3000-\u9fff\uf900-\uffff][:?!.]?\Z")
_WORD_BEGIN = re.compile(r"[^\W_\u0e00-\u0eff\u1780-\u17ff\u3000-\u9fff\uf900-\uffff]")
_GLUED_SHARE, _MIN_GLUED = 0.9, 8
_SPACES = (" ", "\t", "\u00a0", "\u3000")


def prompt_ends_in_space(context: CheckContext) -> Iterator[Finding]:
    """PROMPT_ENDS_IN_SPACE: a space before the completion that belongs to the completion's first token."""
    if context.stage is not Stage.SFT or context.is_conversational:
        return
    rows = [row for row in context.train.rows if row.asked and row.answers]
    spaced = [row for row in rows if row.asked.endswith(_SPACES) and _ends_a_line(row)]
    if not spaced:
        return
    some = spaced[:: max(1, len(spaced) // _N_TOKENIZED)]
    words = {row.number: word for row in some if (word := _joined_word(context.tokenizer, row))}
    if not words:
        return
    n_found = round(len(spaced) * len(words) / len(some))
    yield Finding(
        "PROMPT_ENDS_IN_SPACE",
        Severity.WARNING if n_found >= _WARNING_SHARE * len(rows) else Severity.NOTE,
        summary=f"{share_of(n_found, len(rows))} prompts end in a space that belongs to the completion's first word",
        why="the tokenizer joins a space with the word after it, so the model reads a lone space and learns to begin "
        "with a token that it has seen only inside of words",
        remedy="move the space from the end of `prompt` to the beginning of `completion`; do the same where the model "
        "is served",
        evidence=row_evidence(
            [row for row in some if row.number in words],
            lambda row: f"{row.asked[-30:]!r} + {row.answers[0][:30]!r}: split inside of {words[row.number]!r}",
        ),
        n_rows=n_found,
    )


def glued_completion(context: CheckContext) -> Iterator[Finding]:
    """NO_SPACE_BEFORE_COMPLETION: nothing separates prompt and completion ("the capital of France isParis")."""
    if context.stage is not Stage.SFT or context.is_conversational:
        return
    rows = [row for row in context.train.rows if row.asked and row.answers]
    glued = [row for row in rows if _WORD_END.search(row.asked) and _WORD_BEGIN.match(row.answers[0])]
    if len(glued) < max(_MIN_GLUED, _GLUED_SHARE * len(rows)):
        return
    n_words = sum(row.asked[-1].isalnum() for row in glued)
    yield Finding(
        "NO_SPACE_BEFORE_COMPLETION",
        Severity.WARNING if n_words >= _GLUED_SHARE * len(rows) else Severity.NOTE,
        summary=f"in {share_of(len(glued), len(rows))} rows nothing separates the prompt from its completion; "
        f"{n_words} of these prompts end in a letter or digit",
        why="two words become one, whose tokens the model has not seen in its own training",
        remedy="begin each `completion` with a space, or end each `prompt` with a line break",
        evidence=row_evidence(glued, lambda row: f"{row.asked[-40:]}{row.answers[0][:40]}"),
        n_rows=len(glued),
    )


def _ends_a_line(row: SampledRow) -> bool:
    """Whether there is text before the space: an indentation is no such space."""
    return bool(row.asked.rpartition("\n")[2].strip())


def _joined_word(tokenizer: PreTrainedTokenizerBase, row: SampledRow) -> str | None:
    """The word that the tokenizer would make of the space and what follows, None if it joins no space with a word."""
    before, after = row.asked[-_EDGE:], row.answers[0][:_EDGE]
    pre_tokenizer = getattr(getattr(tokenizer, "backend_tokenizer", None), "pre_tokenizer", None)
    if pre_tokenizer is None:
        return None
    text = before + after
    spans = (span for _, span in pre_tokenizer.pre_tokenize_str(text))
    return next((text[first:last] for first, last in spans if first < len(before) < last), None)


CHECKS: tuple[Check, ...] = (prompt_ends_in_space, glued_completion)
