"""A prompt and the answer to it, as the checks of this folder compare them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from data_prep.conversation import content_text
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.training.data.ledger import RowFate


class Exchange(NamedTuple):
    """What is said before one answer and since the last one, the answer, and the row that has them."""

    row: SampledRow
    asked: str
    answer: str


def exchanges_of(context: CheckContext, rows: Iterable[SampledRow]) -> Iterator[Exchange]:
    """The exchanges of the rows that are trained on; of a pair the chosen answer, of plain text none."""
    for row in rows:
        if row.fate is RowFate.DROPPED:
            continue
        if context.stage is Stage.DPO or not row.messages:
            if row.asked and row.answers:
                yield Exchange(row, row.asked, row.answers[0])
            continue
        asked: list[str] = []
        for message in row.messages:
            text = content_text(message)
            if message["role"] != "assistant":
                asked.append(text)
            elif text:
                if asked:
                    yield Exchange(row, "\n".join(asked), text)
                asked = []
