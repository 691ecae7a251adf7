"""Duplicates in meaning: rows whose question and answer have nearly the vectors of an earlier row (semhash)."""

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.cleaning.duplicates.minhash import ComparisonText
from data_prep.cleaning.duplicates.near_duplicates import NearDuplicate
from pipelines.errors import UserError


@dataclass(frozen=True)
class SemanticDuplicateOptions:
    """Options of the step `semantic_duplicates`, which is off by default.

    `model` is a static model in the format of model2vec: a folder, or `owner/name@revision` on the Hub. `threshold` is
    the least cosine similarity of two rows. All texts and vectors are in memory: about 2 KB and the text for each row.
    """

    model: str = "minishlab/potion-base-8M"
    threshold: float = 0.95

    def __post_init__(self) -> None:
        """Raise `UserError` for values that cannot be used, and without semhash."""
        if not 0 < self.threshold <= 1:
            problem = f"semantic_duplicates: threshold is {self.threshold}, expected more than 0, at most 1"
            raise UserError(problem, "0.95 finds paraphrases; below 0.9, rows about one subject are alike")
        if importlib.util.find_spec("semhash") is None:
            raise UserError("semantic_duplicates needs semhash, which is not installed", "pip install -e '.[semantic]'")


def semantic_duplicates(
    rows: Iterable[int], texts_of: Callable[[int], ComparisonText], options: SemanticDuplicateOptions
) -> list[NearDuplicate]:
    """Return the rows that mean the same as an earlier one of `rows`, which is kept. Rows without words stay."""
    from model2vec import StaticModel
    from semhash import SemHash

    records = []
    for row in rows:
        text = texts_of(row)
        question, answer = (" ".join(one).strip() for one in (text.questions, text.answers))
        if answer:
            records.append({"question": question or answer, "answer": answer, "row": row})
    if len(records) < 2:
        return []
    model: Any = StaticModel.from_pretrained(_model_folder(options.model))
    index = SemHash.from_records(records, columns=["question", "answer"], model=model)
    found = index.self_deduplicate(options.threshold).filtered
    duplicates = [NearDuplicate(one.record["row"], one.duplicate_of["row"], round(one.score, 3)) for one in found]
    return sorted(duplicates, key=lambda one: one.row)


def _model_folder(model: str) -> Path:
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, revision = model.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        problem = f"semantic_duplicates: the model {model} is no folder and cannot be downloaded"
        raise UserError(
            problem, "name a folder in the format of model2vec, or check the name and the network"
        ) from error
