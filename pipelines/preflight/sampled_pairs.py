"""Pairs of preferences as the doctor sees them: what is asked, the two answers, and the examples that they make."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from data_prep.conversation import Preference, UnreadableRowError, content_text, read_preference
from pipelines.errors import UserError
from pipelines.modeling.assistant_masks import UnrenderableError
from pipelines.preflight.captured_errors import CapturedErrors
from pipelines.preflight.check_context import SampledRow
from pipelines.recipe.arguments import TruncationPolicy
from pipelines.training.data.ledger import RowFate
from pipelines.training.data.preference_pairs import PairTokens, pair_tokens, tokens_and_labels, truncate_pair
from pipelines.training.data.truncation import Example


@dataclass(frozen=True)
class PairReader:
    """How pairs of a recipe become examples; `tokenizer` is None where its template is unusable."""

    tokenizer: PreTrainedTokenizerBase | None
    max_length: int | None
    policy: TruncationPolicy
    refusals: CapturedErrors

    def seen(self, number: int, row: Mapping[str, Any]) -> SampledRow:
        """Row `number` with its texts and, where the template is usable, its examples."""
        try:
            preference = read_preference(row)
        except UnreadableRowError as error:
            return SampledRow(number, row, "", (), fate=RowFate.DROPPED, reason=str(error))
        asked = "\n".join(content_text(message) for message in preference.prompt)
        answers = (content_text(preference.chosen), content_text(preference.rejected))
        texts = SampledRow(number, row, asked, answers, messages=(*preference.prompt, preference.chosen))
        return texts if self.tokenizer is None else self._rendered(texts, preference, self.tokenizer)

    def _rendered(self, texts: SampledRow, preference: Preference, tokenizer: PreTrainedTokenizerBase) -> SampledRow:
        whole: tuple[Example, ...] = ()
        try:
            pair = pair_tokens(preference, tokenizer)
            whole = _examples_of(pair)
            fate, kept = truncate_pair(preference, pair, tokenizer, self.max_length, self.policy, texts.number)
        except UnrenderableError as error:
            return replace(texts, whole=whole, fate=RowFate.DROPPED, reason=str(error))
        except UserError as error:
            self.refusals.note(error)
            return replace(texts, whole=whole, fate=RowFate.DROPPED, reason="refused")
        return replace(texts, examples=_examples_of(kept), whole=whole, fate=fate)


def _examples_of(pair: PairTokens) -> tuple[Example, ...]:
    """The chosen and the rejected answer, each behind the prompt."""
    both = (tokens_and_labels(pair.prompt_ids, answer_ids) for answer_ids in (pair.chosen_ids, pair.rejected_ids))
    return tuple(Example(one["input_ids"], one["labels"]) for one in both)
