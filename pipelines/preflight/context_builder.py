"""Build the context of the checks: a recipe's rows, tokenizer and base as the run will have them, without weights."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import ModelConfig

from data_prep.conversation import Conversation, PlainText, content_text
from pipelines.errors import UserError
from pipelines.modeling.chat_template import end_token
from pipelines.modeling.loading import load_config, load_generation_config, load_tokenizer
from pipelines.postflight.forgetting import read_general_text
from pipelines.preflight.captured_errors import CapturedErrors
from pipelines.preflight.check_context import Base, CheckContext, SampledRow, SampledRows, Stage
from pipelines.preflight.forecast.machine import this_machine
from pipelines.recipe import Recipe
from pipelines.records.finding import Finding
from pipelines.training.data.labels import TokenizedRow
from pipelines.training.data.ledger import Ledger
from pipelines.training.data.preference_pairs import PairTokens, TokenizedPair, tokenize_pair, tokens_and_labels
from pipelines.training.data.rows import has_held_out_rows
from pipelines.training.data.truncation import Example
from pipelines.training.inputs import DpoInputs, SftInputs, dpo_inputs, sft_inputs
from pipelines.training.pretrain.corpus import Documents, sample_documents
from pipelines.training.pretrain.pretraining_model import (
    built,
    new_config,
    refuse_contradictions,
    tokenizer_to_pretrain,
)

MAX_ROWS = 10_000  # of each split, which takes seconds; `doctor.py --all` checks every row
_BATCH = 1000
_SEED = 0  # of the sample: the same rows for every recipe on the same data

Inputs = SftInputs | DpoInputs
Tokenized = TokenizedRow | TokenizedPair
Batch = tuple[list[int], list[dict[str, Any]]]  # row numbers and rows


def build_context(
    recipe: Recipe, stage: Stage, *, max_rows: int | None = MAX_ROWS, inputs: Inputs | None = None
) -> tuple[CheckContext, list[Finding]]:
    """Build the context of a parsed recipe; also return findings for errors that would stop the run.

    Samples at most `max_rows` rows of each split, None for all. `inputs` are those that sft.py or dpo.py has loaded.
    Raises `UserError` for a dataset, split or base that does not exist.
    """
    read_general_text(recipe.arguments[0].general_text)  # raises where the run could not read it
    if stage is Stage.PRETRAIN:
        return _pretraining_context(recipe, max_rows)
    if inputs is None:
        inputs = sft_inputs(recipe) if stage is Stage.SFT else dpo_inputs(recipe)
    data, training, model = recipe.arguments
    errors = CapturedErrors()
    tokenizer, new_tokens, is_usable = _load_tokenizer(inputs, errors)
    tokenizer("")  # turns off truncation and padding, which no two threads may do at once
    tokenize: Callable[[Batch], Sequence[Tokenized]] = (
        partial(_tokenize_rows, inputs, tokenizer, is_usable)
        if isinstance(inputs, SftInputs)
        else partial(_tokenize_pairs, inputs, tokenizer, is_usable)
    )
    splits = [
        _sampled_rows(split, rows, tokenize, max_rows, errors, inputs.seen[split] if is_usable else {})
        for split, rows in zip(("train", "held-out"), inputs.splits, strict=True)
        if rows is not None
    ]
    held_out = splits[1] if len(splits) > 1 else None
    context = CheckContext(
        stage=stage, keys=recipe.keys, data=data, training=training, model=model, tokenizer=tokenizer,
        new_tokens=tuple(new_tokens), train=splits[0], held_out=held_out,
        base=_base(inputs.start.base, model, tokenizer, errors, inputs.start.adapter), machine=this_machine(training),
        has_unused_evaluation=held_out is None and has_held_out_rows(data),
    )  # fmt: skip
    return context, errors.findings


def _pretraining_context(recipe: Recipe, max_rows: int | None) -> tuple[CheckContext, list[Finding]]:
    data, training, model = recipe.arguments
    errors = CapturedErrors()
    refuse_contradictions(data, model)
    tokenizer = tokenizer_to_pretrain(data, model)
    train, held_out = sample_documents(data, training, max_rows)
    if not train.texts:
        raise UserError(
            f"all {held_out.n_documents} documents are held out, none is left to train on",
            "add documents, or lower n_validation_documents",
        )
    if model.model_name_or_path is None:
        base = Base("a new model", new_config(data, tokenizer), None, None, from_scratch=True)
        with torch.device("meta"):
            built(base.config)  # raises where the run could not build it
    else:
        base = _base(str(model.model_name_or_path), model, tokenizer, errors)
    context = CheckContext(
        stage=Stage.PRETRAIN, keys=recipe.keys, data=data, training=training, model=model, tokenizer=tokenizer,
        new_tokens=(), train=_sampled_documents("train", train, tokenizer),
        held_out=_sampled_documents("held-out", held_out, tokenizer), base=base, machine=this_machine(training),
    )  # fmt: skip
    return context, errors.findings


def _load_tokenizer(inputs: Inputs, errors: CapturedErrors) -> tuple[PreTrainedTokenizerBase, list[str], bool]:
    """The tokenizer of the run, its new tokens, and whether the run could use it; else the best replacement."""
    found = errors.call(lambda: inputs.tokenizer)
    _, training, model = inputs.recipe.arguments
    if found is None and isinstance(inputs, SftInputs):
        wanted, training.eos_token = training.eos_token, None
        found = CapturedErrors().call(inputs.load_tokenizer)
        training.eos_token = wanted
        if found is not None:
            errors.set_fix("END_TOKEN_MISMATCH", {"eos_token": end_token(found[0])})
    if found is not None:
        return (*found, True)
    tokenizer = load_tokenizer(inputs.start.base, model.model_revision)
    return tokenizer, [], isinstance(inputs, SftInputs) and bool(tokenizer.chat_template)


def _sampled_rows(
    split: str, rows: Dataset, tokenize: Callable[[Batch], Sequence[Tokenized]], max_rows: int | None,
    errors: CapturedErrors, seen: dict[int, Any],
) -> SampledRows:  # fmt: skip
    sampled = []
    drawn = list(_drawn(rows, max_rows))
    batches = ((numbers, batch) for _, numbers, batch in drawn)
    for (places, numbers, batch), made in zip(drawn, _in_two_threads(tokenize, batches), strict=True):
        for place, number, row, one in zip(places, numbers, batch, made, strict=True):
            seen[place] = one
            if one.error is not None:
                errors.add(one.error)
            sampled.append(_of_row(number, row, one) if isinstance(one, TokenizedRow) else _of_pair(number, row, one))
    return SampledRows(split, tuple(sampled), len(rows), tuple(rows.column_names), _ledger_of(sampled))


def _in_two_threads(
    tokenize: Callable[[Batch], Sequence[Tokenized]], batches: Iterable[Batch]
) -> Iterator[Sequence[Tokenized]]:
    """Tokenize `batches` in order. Rendering holds Python's lock and the tokenizer does not, so they overlap."""
    pool = ThreadPoolExecutor(2)
    try:
        yield from pool.map(tokenize, batches)
    finally:
        pool.shutdown(cancel_futures=True)


def _tokenize_rows(
    inputs: SftInputs, tokenizer: PreTrainedTokenizerBase, is_usable: bool, batch: Batch
) -> list[TokenizedRow]:
    """Rows as the run tokenizes them; only read if the run cannot use the tokenizer's template."""
    how, (numbers, rows) = inputs.rows.tokenizing(tokenizer), batch
    if is_usable or not inputs.rows.conversational:
        return how.tokenize(rows, numbers)
    return [how.read_only(row) for row in rows]


def _tokenize_pairs(
    inputs: DpoInputs, tokenizer: PreTrainedTokenizerBase, is_usable: bool, batch: Batch
) -> list[TokenizedPair]:
    data, training, _ = inputs.recipe.arguments
    usable = tokenizer if is_usable else None
    return [
        tokenize_pair(row, number, usable, training.max_length, data.long_rows)
        for number, row in zip(*batch, strict=True)
    ]


def _of_row(number: int, row: Mapping[str, Any], one: TokenizedRow) -> SampledRow:
    asked, answers, messages = _texts_of(one.read)
    examples, fitted = tuple(one.fitted.examples), one.fitted
    return SampledRow(number, row, asked, answers, examples, tuple(one.whole), fitted.fate, fitted.reason, messages)


def _texts_of(read: Conversation | PlainText | None) -> tuple[str, tuple[str, ...], tuple[Mapping[str, Any], ...]]:
    """The prompt text, the answers in the loss, and the messages."""
    if read is None:
        return "", (), ()
    if isinstance(read, PlainText):
        return read.prompt, (read.completion,), ()
    trained = read.trained_turns()
    asked = "\n".join(content_text(one) for place, one in enumerate(read.messages) if place not in trained)
    return asked, tuple(content_text(read.messages[place]) for place in trained), tuple(read.messages)


def _of_pair(number: int, row: Mapping[str, Any], pair: TokenizedPair) -> SampledRow:
    read = pair.preference
    if read is None:
        return SampledRow(number, row, "", (), fate=pair.fate, reason=pair.reason)
    asked = "\n".join(content_text(message) for message in read.prompt)
    answers, messages = (content_text(read.chosen), content_text(read.rejected)), (*read.prompt, read.chosen)
    examples, whole = _examples_of(pair.kept), _examples_of(pair.whole)
    return SampledRow(number, row, asked, answers, examples, whole, pair.fate, pair.reason, messages)


def _examples_of(pair: PairTokens | None) -> tuple[Example, ...]:
    """The chosen and the rejected answer, each after the prompt."""
    if pair is None:
        return ()
    both = (tokens_and_labels(pair.prompt_ids, answer_ids) for answer_ids in (pair.chosen_ids, pair.rejected_ids))
    return tuple(Example(one["input_ids"], one["labels"]) for one in both)


def _drawn(rows: Dataset, max_rows: int | None) -> Iterator[tuple[Sequence[int], list[int], list[dict[str, Any]]]]:
    """Places, numbers and values of all rows, or of a seeded sample of `max_rows` in their order, in batches.

    Rows keep their numbers in the file, also where `test_split_size` holds some of them out.
    """
    origin = rows._indices
    numbers = range(len(rows)) if origin is None else origin.column(0).to_pylist()
    places: Sequence[int] = range(len(rows))
    if max_rows is not None and len(rows) > max_rows:
        places = sorted(random.Random(_SEED).sample(places, max_rows))
        rows = rows.select(places)
    for begin, batch in zip(range(0, len(rows), _BATCH), rows.iter(_BATCH), strict=True):
        here, values = places[begin : begin + _BATCH], zip(*batch.values(), strict=True)
        yield here, [numbers[place] for place in here], [dict(zip(batch, row, strict=True)) for row in values]


def _sampled_documents(split: str, documents: Documents, tokenizer: PreTrainedTokenizerBase) -> SampledRows:
    sampled = []
    for number, text in enumerate(documents.texts):
        token_ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        example = Example(token_ids, token_ids)
        sampled.append(SampledRow(number, {"text": text}, "", (text,), (example,), (example,)))
    return SampledRows(split, tuple(sampled), documents.n_documents, ("text",), _ledger_of(sampled))


def _ledger_of(sampled: Iterable[SampledRow]) -> Ledger:
    ledger = Ledger()
    for row in sampled:
        n_tokens = sum(map(len, row.examples))
        n_trained = sum(example.n_trained for example in row.examples)
        n_lost = sum(map(len, row.whole)) - n_tokens
        ledger.enter(row.number, row.fate, row.reason, n_tokens, n_trained, n_lost, len(row.examples))
    return ledger


def _base(
    name: str, model: ModelConfig, tokenizer: PreTrainedTokenizerBase, errors: CapturedErrors,
    adapter: str | None = None,
) -> Base:  # fmt: skip
    revision = model.model_revision
    own_template = tokenizer.init_kwargs.get("chat_template")  # as loaded; the run may have set another one since
    config = load_config(name, revision)
    text = config.get_text_config()
    if (text.pad_token_id or 0) >= text.vocab_size and text.model_type != "gpt2":  # which makes no row of it
        errors.add(
            UserError(
                f"pad_token_id in config.json of {name} is {text.pad_token_id}, and there are {text.vocab_size:,} "
                "embeddings",
                f'write "pad_token_id": null into config.json of {name}',
                finding="TOKEN_IDS_DISAGREE",
            )
        )
        text.pad_token_id = None  # without it the model can be built
    return Base(name, config, load_generation_config(name, revision), own_template, adapter)
