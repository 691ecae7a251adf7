"""Opening a case: a recipe's rows, tokenizer and base brought together as the run would, but no weight loaded."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import ModelConfig, SFTConfig

from data_prep.conversation import (
    Conversation,
    PlainText,
    UnreadableRowError,
    content_text,
)
from pipelines.errors import UserError
from pipelines.hub.model_ref import ModelRef
from pipelines.modeling.assistant_masks import AssistantTurn, UnrenderableError
from pipelines.modeling.chat_template import end_token
from pipelines.modeling.loading import load_config, load_generation_config, load_tokenizer
from pipelines.postflight.forgetting import read_general_text
from pipelines.preflight.captured_errors import CapturedErrors
from pipelines.preflight.check_context import Base, CheckContext, SampledRow, SampledRows, Stage
from pipelines.preflight.forecast.machine import this_machine
from pipelines.preflight.sampled_pairs import PairReader
from pipelines.recipe import Recipe
from pipelines.records.finding import Finding
from pipelines.training.data.instruction_set import InstructionSet, instruction_set
from pipelines.training.data.labels import RowTokenizer
from pipelines.training.data.ledger import Ledger, RowFate
from pipelines.training.data.preference_pairs import preference_set
from pipelines.training.data.rows import has_held_out_rows, recipe_rows
from pipelines.training.data.truncation import Example, TruncatedRow
from pipelines.training.fine_tuning import load_training_tokenizer
from pipelines.training.preference_tuning import load_policy_tokenizer
from pipelines.training.pretrain.corpus import documents_to_see
from pipelines.training.pretrain.pretraining_model import (
    built,
    new_config,
    refuse_contradictions,
    tokenizer_to_pretrain,
)
from pipelines.training.starting_point import starting_point

MAX_ROWS = 10_000  # of each split: what is looked at in seconds; `doctor.py --all` looks at every row
_ROWS_AT_ONCE = 1000
_SEED = 0  # of the sample: the same rows for every recipe on the same data

Read = tuple[Dataset, Dataset | None]


def build_context(
    recipe: Recipe, stage: Stage, *, max_rows: int | None = MAX_ROWS, read: Read | None = None
) -> tuple[CheckContext, list[Finding]]:
    """The case of a parsed recipe, and findings for what the run itself would refuse.

    Of each split at most `max_rows` rows are looked at, all for None. `read` are the rows to train on and the held-out
    ones where sft.py or dpo.py has read them already. Raises `UserError` for what is no fault of
    recipe or rows: a dataset, split or base that is not there.
    """
    read_general_text(recipe.arguments[0].general_text)  # the run could not measure what it forgets
    refusals = CapturedErrors()
    if stage is Stage.SFT:
        context = _fine_tuning(recipe, max_rows, refusals, read)
    elif stage is Stage.DPO:
        context = _preferences(recipe, max_rows, refusals, read)
    else:
        context = _pretraining(recipe, max_rows)
    return context, refusals.findings


def _fine_tuning(recipe: Recipe, max_rows: int | None, refusals: CapturedErrors, read: Read | None) -> CheckContext:
    data, training, model = recipe.arguments
    evaluates = training.eval_strategy != "no"
    train, held_out = read or recipe_rows(data, training.seed, evaluates=evaluates)
    rows = instruction_set(train, held_out, data, training, recipe.keys)
    start = starting_point(model, data.adapter_name_or_path, recipe.keys)
    tokenizer, new_tokens = _student_tokenizer(start, model, training, rows, refusals)
    how = rows.tokenizing(tokenizer)
    seen = [_seen_rows(split, one, how, max_rows, refusals) for split, one in _splits(train, held_out)]
    return CheckContext(
        stage=Stage.SFT, keys=recipe.keys, data=data, training=training, model=model, tokenizer=tokenizer,
        new_tokens=tuple(new_tokens), train=seen[0], held_out=seen[1] if held_out is not None else None,
        base=_base(start.base, model, tokenizer, start.adapter), machine=this_machine(training),
        has_unused_evaluation=not evaluates and has_held_out_rows(data),
    )  # fmt: skip


def _preferences(recipe: Recipe, max_rows: int | None, refusals: CapturedErrors, read: Read | None) -> CheckContext:
    data, training, model = recipe.arguments
    start = starting_point(model, data.adapter_name_or_path, recipe.keys)
    train, held_out = read or preference_set(data, training)
    found = refusals.attempt(lambda: load_policy_tokenizer(start))
    tokenizer, new_tokens = found or (load_tokenizer(start.base, model.model_revision), [])
    reader = PairReader(tokenizer if found else None, training.max_length, data.long_rows, refusals)
    seen = [
        _with_ledger(split, [reader.seen(number, row) for number, row in _drawn(rows, max_rows)], rows)
        for split, rows in _splits(train, held_out)
    ]
    return CheckContext(
        stage=Stage.DPO, keys=recipe.keys, data=data, training=training, model=model, tokenizer=tokenizer,
        new_tokens=tuple(new_tokens), train=seen[0], held_out=seen[1] if held_out is not None else None,
        base=_base(start.base, model, tokenizer, start.adapter), machine=this_machine(training),
        has_unused_evaluation=held_out is None and has_held_out_rows(data),
    )  # fmt: skip


def _pretraining(recipe: Recipe, max_rows: int | None) -> CheckContext:
    data, training, model = recipe.arguments
    refuse_contradictions(data, model)
    tokenizer = tokenizer_to_pretrain(data, model)
    train, held_out = documents_to_see(data, training, max_rows)
    if not train.texts:
        raise UserError(
            expected="documents to train on beside those that are held out",
            got=f"none left of {held_out.n_documents}",
            remedy="add documents, or lower n_validation_documents",
        )
    if model.model_name_or_path is None:
        base = Base("a new model", new_config(data, tokenizer), None, None, from_scratch=True)
        with torch.device("meta"):
            built(base.config)  # what cannot be built is no finding: the run says what is wrong with it
    else:
        base = _base(str(model.model_name_or_path), model, tokenizer)
    return CheckContext(
        stage=Stage.PRETRAIN, keys=recipe.keys, data=data, training=training, model=model, tokenizer=tokenizer,
        new_tokens=(), train=_seen_documents("train", train.texts, train.n_documents, tokenizer),
        held_out=_seen_documents("held-out", held_out.texts, held_out.n_documents, tokenizer), base=base,
        machine=this_machine(training),
    )  # fmt: skip


def _student_tokenizer(
    start: ModelRef, model: ModelConfig, training: SFTConfig, rows: InstructionSet, refusals: CapturedErrors
) -> tuple[PreTrainedTokenizerBase, list[str]]:
    """The tokenizer as the run will have it; where the run would refuse, what remains to look at rows with."""
    load = partial(load_training_tokenizer, start, training, conversational=rows.conversational)
    found = refusals.attempt(load)
    if found is not None:
        return found
    wished, training.eos_token = training.eos_token, None
    again = CapturedErrors()
    found = again.attempt(load)
    training.eos_token = wished
    if found is None:
        return load_tokenizer(start.base, model.model_revision), []
    refusals.mend("END_TOKEN_MISMATCH", {"eos_token": end_token(found[0])})
    return found


def _splits(train: Dataset, held_out: Dataset | None) -> list[tuple[str, Dataset]]:
    return [("train", train), *([("held-out", held_out)] if held_out is not None else [])]


def _seen_rows(
    split: str, rows: Dataset, how: RowTokenizer, max_rows: int | None, refusals: CapturedErrors
) -> SampledRows:  # fmt: skip
    seen: list[SampledRow] = []
    drawn = (_begun(number, row, how, refusals) for number, row in _drawn(rows, max_rows))
    begun = list(islice(drawn, _ROWS_AT_ONCE))
    with ThreadPoolExecutor(1) as beside:  # the tokenizer lets go of the interpreter: the next rows are rendered then
        while begun:
            tokenizing = beside.submit(how.examples_of_turns, [turns for _, turns in begun if turns])
            following = list(islice(drawn, _ROWS_AT_ONCE))
            tokenized = iter(tokenizing.result())
            seen += [_fitted(row, next(tokenized), how, refusals) if turns else row for row, turns in begun]
            begun = following
    return _with_ledger(split, seen, rows)


def _begun(
    number: int, row: Mapping[str, Any], how: RowTokenizer, refusals: CapturedErrors
) -> tuple[SampledRow, list[AssistantTurn]]:  # fmt: skip
    """A row, and the turns of it that are left to be tokenized: only conversations have them."""
    try:
        read = how.read(row)
    except UnreadableRowError as error:
        return SampledRow(number, row, "", (), fate=RowFate.DROPPED, reason=str(error)), []
    asked, answers, messages = _texts_of(read)
    seen = SampledRow(number, row, asked, answers, messages=messages)
    if messages and not how.tokenizer.chat_template:  # the run refuses the recipe's; the texts are left to look at
        return seen, []
    try:
        if isinstance(read, PlainText):
            return _fitted(seen, how.examples_of(read), how, refusals), []
        return seen, how.turns_of(read)
    except (UnreadableRowError, UnrenderableError) as error:
        return replace(seen, fate=RowFate.DROPPED, reason=str(error)), []
    except UserError as error:
        refusals.note(error)
        return replace(seen, fate=RowFate.DROPPED, reason="refused"), []


def _fitted(seen: SampledRow, whole: list[Example], how: RowTokenizer, refusals: CapturedErrors) -> SampledRow:
    """`seen` with its examples as they are, and as the recipe's length leaves them."""
    try:
        fitted = how.examples(seen.values, seen.number) if _is_long(whole, how.max_length) else TruncatedRow(whole)
    except UserError as error:
        refusals.note(error)
        fitted = TruncatedRow([], RowFate.DROPPED, sum(map(len, whole)), "refused")
    return replace(
        seen, examples=tuple(fitted.examples), whole=tuple(whole), fate=fitted.fate, reason=fitted.reason
    )  # fmt: skip


def _texts_of(read: Conversation | PlainText) -> tuple[str, tuple[str, ...], tuple[Mapping[str, Any], ...]]:
    """What is asked, the answers, and the messages."""
    if isinstance(read, PlainText):
        return read.prompt, (read.completion,), ()
    trained = read.trained_turns()
    asked = "\n".join(content_text(one) for place, one in enumerate(read.messages) if place not in trained)
    return asked, tuple(content_text(read.messages[place]) for place in trained), tuple(read.messages)


def _seen_documents(
    split: str, texts: Iterable[str], n_documents: int, tokenizer: PreTrainedTokenizerBase
) -> SampledRows:
    seen = []
    for number, text in enumerate(texts):
        token_ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        example = Example(token_ids, token_ids)
        seen.append(SampledRow(number, {"text": text}, "", (text,), (example,), (example,)))
    return SampledRows(split, tuple(seen), n_documents, ("text",), _ledger_of(seen))


def _is_long(examples: list[Example], max_length: int | None) -> bool:
    return max_length is not None and max(map(len, examples)) > max_length


def _drawn(rows: Dataset, max_rows: int | None) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """All rows with their numbers, or a seeded sample of `max_rows` in their order."""
    numbers = _numbers(rows)
    if max_rows is not None and len(rows) > max_rows:
        places = sorted(random.Random(_SEED).sample(range(len(rows)), max_rows))
        numbers, rows = [numbers[place] for place in places], rows.select(places)
    columns = rows.column_names
    values = (row for batch in rows.iter(_ROWS_AT_ONCE) for row in zip(*(batch[name] for name in columns), strict=True))
    for number, row in zip(numbers, values, strict=True):
        yield number, dict(zip(columns, row, strict=True))


def _numbers(rows: Dataset) -> Sequence[int]:
    """The rows' numbers in the file that they come from, also where `test_split_size` drew some of them out of it."""
    origin = rows._indices
    return range(len(rows)) if origin is None else origin.column(0).to_pylist()


def _with_ledger(split: str, seen: list[SampledRow], rows: Dataset) -> SampledRows:
    return SampledRows(split, tuple(seen), len(rows), tuple(rows.column_names), _ledger_of(seen))


def _ledger_of(seen: Iterable[SampledRow]) -> Ledger:
    ledger = Ledger()
    for row in seen:
        n_tokens = sum(map(len, row.examples))
        n_trained = sum(example.n_trained for example in row.examples)
        n_lost = sum(map(len, row.whole)) - n_tokens
        ledger.enter(row.number, row.fate, row.reason, n_tokens, n_trained, n_lost, len(row.examples))
    return ledger


def _base(name: str, model: ModelConfig, tokenizer: PreTrainedTokenizerBase, adapter: str | None = None) -> Base:
    revision = model.model_revision
    own_template = tokenizer.init_kwargs.get("chat_template")  # as it was loaded; the run may have set another since
    return Base(name, load_config(name, revision), load_generation_config(name, revision), own_template, adapter)
