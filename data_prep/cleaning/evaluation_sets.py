"""Read the texts of an evaluation set: a file of rows, a dataset folder, or a dataset on the Hub."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.cleaning.duplicates.minhash import words
from data_prep.cleaning.ngram_index import MIN_WORDS, IndexedText
from data_prep.dataset_folder import is_dataset_folder, load_rows, read_manifest
from pipelines.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

# The columns by which a set is recognized, those of its questions and those of its answers.
_FORMS = (
    (("task_id", "prompt", "canonical_solution"), ("prompt",), ("canonical_solution",)),  # HumanEval
    (("text", "code", "test_list"), ("text",), ("code",)),  # MBPP
    (("prompt", "code", "test_list"), ("prompt",), ("code",)),  # MBPP, sanitized
    (("prompt", "instruction_id_list"), ("prompt",), ()),  # IFEval
    (("question", "answer"), ("question",), ("answer",)),  # GSM8K
)
_QUESTIONS = ("question", "prompt", "instruction", "query", "problem", "text", "input", "goal", "ctx")
_ROLES_OF_QUESTIONS = ("user", "human")
# of sets that are not recognized
_NOT_COMPARED = ("source", "source_row", "group", "id", "task_id", "url", "tools", "metadata", "test", "test_list")
_SPLITS = ("test", "validation", "train")  # the first that a set on the Hub has
_CONFIGURATIONS = {"openai/gsm8k": "main", "gsm8k": "main"}


def read_evaluation_set(name: str) -> Iterator[IndexedText]:
    """Yield the texts of the evaluation set `name`: a path, or a Hub id as `owner/name`, `owner/name:config` or either
    with `@revision`.

    Of a dataset folder the held-out splits count (train if it has no other), of a set on the Hub its test split, else
    validation, else train. Raises `UserError` if it cannot be read or has no text.
    """
    n_texts = 0
    for number, row in enumerate(_rows(name)):
        for text, is_question in _texts(row):
            found = words(text)
            n_texts += len(found) >= MIN_WORDS
            yield IndexedText(name, number, found, is_question)
    if not n_texts:
        raise UserError(f"the evaluation set {name} has no text", "name one with columns of questions or answers")


def _rows(name: str) -> "Dataset":
    path = Path(name)
    if is_dataset_folder(path):
        filled = [split for split, n_rows in read_manifest(path)["n_rows"].items() if n_rows]
        return load_rows(name, "+".join([split for split in filled if split != "train"] or ["train"]))
    if path.is_file():
        return load_rows(name, "test")  # the rows of a file are every split
    if path.is_dir():
        return load_rows(name, _first_split(name, None, None))
    if name.count("/") != 1 or name.startswith((".", "/")):
        raise UserError(f"the evaluation set {name} does not exist", "name a file, a dataset folder or a Hub id")
    repository, _, revision = name.partition("@")
    repository, _, configuration = repository.partition(":")
    configuration = configuration or _CONFIGURATIONS.get(repository, "")
    split = _first_split(repository, configuration or None, revision or None)
    return load_rows(repository, split, name=configuration or None, revision=revision or None)


def _first_split(path: str, configuration: str | None, revision: str | None) -> str:
    import datasets

    try:
        names = datasets.get_dataset_split_names(path, configuration, revision=revision)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).strip() or type(error).__name__).split("\n")[0][:200]
        problem = f"cannot read the evaluation set {path}: {reason}"
        raise UserError(problem, "check the path, or the Hub id (owner/name:config) and the network") from error
    return next((split for split in _SPLITS if split in names), str(names[0]))


def _texts(row: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield each text of a row, and whether it is a question."""
    for columns, questions, answers in _FORMS:
        if all(column in row for column in columns):
            yield from ((row[column], True) for column in questions if isinstance(row[column], str))
            yield from ((row[column], False) for column in answers if isinstance(row[column], str))
            return
    for column, value in row.items():
        if column not in _NOT_COMPARED:
            yield from _strings(value, column in _QUESTIONS)


def _strings(value: Any, is_question: bool) -> Iterator[tuple[str, bool]]:
    """Yield each text in a JSON value; of messages, those of the user are questions."""
    if isinstance(value, str):
        yield value, is_question
    elif isinstance(value, Mapping):
        role = value.get("role", value.get("from"))
        asks = role in _ROLES_OF_QUESTIONS if isinstance(role, str) else is_question
        for one in value.values():
            yield from _strings(one, asks)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one, is_question)
