"""Truncation: each policy for examples longer than `max_length`, with the tokens that it costs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from data_prep.conversation import Message, content_text
from pipelines.errors import UserError
from pipelines.inference.teacher_forcing import IGNORED
from pipelines.modeling.assistant_masks import inner_token_ids
from pipelines.recipe.arguments import TruncationPolicy
from pipelines.training.data.ledger import RowFate


@dataclass(frozen=True)
class Example:
    """Token ids and labels of one training example, of equal length; a label is the id if it is trained, else -100."""

    token_ids: list[int]
    labels: list[int]

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def n_trained(self) -> int:
        """Tokens in the loss."""
        return len(self.labels) - self.labels.count(IGNORED)

    def part(self, begin: int, end: int) -> "Example":
        """Tokens `begin` to `end`."""
        return Example(self.token_ids[begin:end], self.labels[begin:end])


@dataclass(frozen=True)
class TruncatedRow:
    """A row's examples within the length; none and a reason if it is dropped."""

    examples: list[Example]
    fate: RowFate = RowFate.KEPT
    n_tokens_lost: int = 0
    reason: str | None = None


def truncate_row(
    examples: list[Example],
    max_length: int | None,
    policy: TruncationPolicy,
    *,
    row: int,
    end_token_id: int,
    with_shorter_prompt: Callable[[int], list[Example]],
) -> TruncatedRow:
    """Fit `examples` of row number `row` to `max_length` tokens by `policy`.

    `with_shorter_prompt(n)` renders the row again with about `n` fewer tokens of prompt text. Raises `UserError` for
    the policy ERROR.
    """
    longest = max(map(len, examples))
    if max_length is None or longest <= max_length:
        return TruncatedRow(examples)
    n_tokens = sum(map(len, examples))
    if policy is TruncationPolicy.ERROR:
        raise UserError(
            f"row {row} has {longest} tokens, more than max_length {max_length} (long_rows: error)",
            "raise max_length, shorten that row, or set long_rows: split",
            finding="ROW_TOO_LONG",
        )
    if policy is TruncationPolicy.TRUNCATE_PROMPT:
        return _truncate_prompt(examples, max_length, with_shorter_prompt)
    if policy is TruncationPolicy.KEEP_END_TOKEN:
        cut = [_cut_before_end(one, max_length, end_token_id) for one in examples]
        kept = [one for one in cut if one is not None]
        if not kept:
            return TruncatedRow([], RowFate.DROPPED, n_tokens, "prompt_longer_than_max_length")
        return TruncatedRow(kept, RowFate.ANSWER_CUT, n_tokens - sum(map(len, kept)))
    if policy is TruncationPolicy.SPLIT:
        pieces = [piece for one in examples for piece in _pieces(one, max_length, end_token_id)]
        kept = [piece for piece in pieces if any(label != IGNORED for label in piece.labels[1:])]
        return TruncatedRow(kept, RowFate.SPLIT, n_tokens - sum(map(len, kept)))
    return TruncatedRow([], RowFate.DROPPED, n_tokens, "longer_than_max_length")


def _pieces(example: Example, max_length: int, end_token_id: int) -> Iterator[Example]:
    """Parts of `max_length` tokens; one less where an end token would begin the next part, and so not be trained."""
    begin = 0
    while begin < len(example):
        end = min(begin + max_length, len(example))
        if end < len(example) and example.token_ids[end] == end_token_id and max_length > 1:
            end -= 1
        yield example.part(begin, end)
        begin = end


def _truncate_prompt(
    examples: list[Example], max_length: int, with_shorter_prompt: Callable[[int], list[Example]]
) -> TruncatedRow:
    """Cut again if needed: tokens at the cut may merge differently, so one cut can miss by a few."""
    n_tokens = sum(map(len, examples))
    n_cut, shorter = 0, examples
    for _ in range(4):
        n_cut += max(map(len, shorter)) - max_length
        shorter = with_shorter_prompt(n_cut)
        if not shorter:
            break
        if max(map(len, shorter)) <= max_length:
            return TruncatedRow(shorter, RowFate.PROMPT_CUT, n_tokens - sum(map(len, shorter)))
    return TruncatedRow([], RowFate.DROPPED, n_tokens, "answer_longer_than_max_length")


def _cut_before_end(example: Example, max_length: int, end_token_id: int) -> Example | None:
    """Cut `example` to `max_length` tokens, the last one the end token; None if no answer is left before it."""
    if len(example) <= max_length:
        return example
    kept = example.part(0, max_length)
    if kept.labels[-1] == IGNORED:  # the cut is in a prompt: end with the last whole turn before it
        n_kept = max((place + 1 for place, label in enumerate(kept.labels) if label != IGNORED), default=0)
        return kept.part(0, n_kept) if n_kept else None
    if kept.labels[-2:-1] == [IGNORED]:
        return None  # no token of the answer fits before its end
    return Example([*kept.token_ids[:-1], end_token_id], [*kept.labels[:-1], end_token_id])


def with_shorter_prompt_text(
    messages: Sequence[Message], n_tokens: int, tokenizer: PreTrainedTokenizerBase
) -> list[Message] | None:
    """`messages` without the first `n_tokens` of the longest user or tool text; None if that is shorter."""
    prompts = [place for place, message in enumerate(messages) if message["role"] in ("user", "tool")]
    if not prompts:
        return None
    longest = max(prompts, key=lambda place: len(content_text(messages[place])))
    left = without_left(content_text(messages[longest]), n_tokens, tokenizer)
    changed = {**messages[longest], "content": left}
    return None if left is None else [*messages[:longest], changed, *messages[longest + 1 :]]


def without_left(text: str, n_tokens: int, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """`text` without its first `n_tokens`; None if it has no more than these."""
    token_ids = inner_token_ids(tokenizer, text)
    if n_tokens >= len(token_ids):
        return None
    return str(tokenizer.decode(token_ids[n_tokens:])).lstrip("\N{REPLACEMENT CHARACTER}")
