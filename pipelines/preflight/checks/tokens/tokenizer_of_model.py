"""Checks of the tokenizer against the base: the same vocabulary, and the same special tokens in all configs."""

from collections.abc import Iterator
from typing import Any

from pipelines.modeling.chat_template import token_id_of
from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.evidence import Check
from pipelines.preflight.embedding_rows import table_in_files
from pipelines.preflight.trained_weights import embeddings_name
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

# Rows to spare are usual: Qwen2.5 has 271 to 399, GPT-J 143, Phi-2 905, none a tenth of its vocabulary.
_MAX_SPARE, _MAX_SPARE_SHARE = 1024, 0.1
_KINDS = ("bos", "eos", "pad")


def tokenizer_not_of_model(context: CheckContext) -> Iterator[Finding]:
    """TOKENIZER_NOT_OF_MODEL: a vocabulary that the base's embeddings were not trained for."""
    if context.base.from_scratch:
        return
    ruins, ids = _words_without_rows(context), _ids_of_other_tokens(context)
    signs = [*ruins, *_spare_rows(context, likely=bool(ids))]
    if not signs:  # ids alone may be wrong in the config
        return
    signs += ids
    yield Finding(
        "TOKENIZER_NOT_OF_MODEL",
        Severity.ERROR if ruins or len(signs) > 1 else Severity.WARNING,
        summary=f"the tokenizer is not the one of {context.base.name}: {signs[0]}",
        why="the base reads each token as another one, so nothing that it learned before is of use",
        remedy=f"put the tokenizer files of the model itself into {context.base.name}",
        evidence=tuple(map(Evidence, signs[:MAX_EVIDENCE])),
    )


def token_ids_disagree(context: CheckContext) -> Iterator[Finding]:
    """TOKEN_IDS_DISAGREE: config.json and generation_config.json name other special tokens than the tokenizer.

    The run corrects the end token in what it saves, but not in the base that an adapter is served on.
    """
    base = context.base
    is_told = any(True for _ in tokenizer_not_of_model(context))
    if context.stage is Stage.PRETRAIN or base.adapter is not None or is_told:  # see END_TOKEN_MISMATCH
        return
    said = [*_ids_outside(context), *_ids_of_other_tokens(context), *_other_ids(context)]
    if not said:
        return
    yield Finding(
        "TOKEN_IDS_DISAGREE",
        Severity.WARNING,
        summary=f"the files of {base.name} disagree about special tokens: {said[0]}",
        why="servers and converters take the end of a text from these files, and stop elsewhere or not at all",
        remedy=f"write {_right_ids(context)} into config.json and generation_config.json of {base.name}",
        evidence=tuple(map(Evidence, said[:MAX_EVIDENCE])),
    )


def embeddings_not_of_config(context: CheckContext) -> Iterator[Finding]:
    """EMBEDDINGS_NOT_OF_CONFIG: weights with another number of embedding rows than config.json says."""
    base, name = context.base, embeddings_name(context.base.skeleton)
    table = table_in_files(base.name, context.model.model_revision, name) if name and not base.from_scratch else None
    if table is not None and table.shape[0] != base.n_embedding_rows:
        yield Finding(
            "EMBEDDINGS_NOT_OF_CONFIG",
            Severity.ERROR,
            summary=f"{name} has {table.shape[0]:,} rows in the weights, and vocab_size in config.json is "
            f"{base.n_embedding_rows:,}",
            why="the base cannot be loaded",
            remedy=f'write "vocab_size": {table.shape[0]} into config.json of {base.name}',
            evidence=(Evidence(f"{table.key} in {table.file.name}: {table.shape[0]} x {table.shape[1]}"),),
        )


def _words_without_rows(context: CheckContext) -> list[str]:
    """Tokens of the vocabulary itself, not added ones, behind the last embedding."""
    n_rows, tokenizer = context.base.n_embedding_rows, context.tokenizer
    if tokenizer.vocab_size <= n_rows or context.stage is Stage.PRETRAIN:  # which may extend a vocabulary
        return []
    added = tokenizer.added_tokens_decoder
    behind = [token for token, number in tokenizer.get_vocab().items() if number >= n_rows and number not in added]
    if not behind:
        return []
    return [f"{len(behind):,} tokens of its vocabulary, such as {behind[0]!r}, have no row among the {n_rows:,}"]


def _spare_rows(context: CheckContext, *, likely: bool) -> list[str]:
    """Far more embeddings than tokens; `likely`: there are other signs, so a tiny model's few rows count too."""
    n_rows, n_tokens = context.base.n_embedding_rows, len(context.tokenizer)
    if n_rows - n_tokens <= max(0 if likely else _MAX_SPARE, _MAX_SPARE_SHARE * n_rows):
        return []
    return [f"it has {n_tokens:,} tokens, and the embeddings have {n_rows:,} rows"]


def _ids_of_other_tokens(context: CheckContext) -> list[str]:
    """Ids in the configs that are ordinary words in this tokenizer, or no token at all."""
    tokenizer, found = context.tokenizer, []
    special = {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
    for token_id, where in _configured(context).items():
        if token_id in special or not 0 <= token_id < context.base.n_embedding_rows or _is_trained(context, token_id):
            continue
        known = token_id < len(tokenizer)
        token = f"the word {tokenizer.convert_ids_to_tokens(token_id)!r}" if known else "no token"
        found.append(f"{where} is {token_id}, {token} of the tokenizer")
    return found


def _is_trained(context: CheckContext, token_id: int) -> bool:
    """Whether answers contain the token: see END_TOKEN_MISMATCH."""
    return any(token_id in example.labels for example in context.examples())


def _ids_outside(context: CheckContext) -> list[str]:
    n_rows = context.base.n_embedding_rows
    return [
        f"{where} is {token_id}, and there are {n_rows:,} embeddings"
        for token_id, where in _configured(context).items()
        if token_id >= max(n_rows, len(context.tokenizer))
    ]


def _other_ids(context: CheckContext) -> list[str]:
    """The tokenizer's own BOS and EOS, where a config names others."""
    found = []
    for kind in ("eos", "bos"):
        token = context.tokenizer.init_kwargs.get(f"{kind}_token")  # as loaded; the run makes the end of a turn EOS
        if token is None:
            continue
        token_id = token_id_of(context.tokenizer, str(token))
        for file, ids in _ids_by_file(context, kind).items():
            if ids and token_id not in ids and not any(_is_word(context, one) for one in ids):
                listed = ", ".join(map(str, ids))
                found.append(f"{kind}_token_id of {file} is {listed}, the tokenizer has {str(token)!r} ({token_id})")
    return found


def _is_word(context: CheckContext, token_id: int) -> bool:
    return token_id not in context.tokenizer.added_tokens_decoder and _is_trained(context, token_id)


def _configured(context: CheckContext) -> dict[int, str]:
    """The special token ids of both configs, each with the first key that names it."""
    found: dict[int, str] = {}
    for kind in _KINDS:
        for file, ids in _ids_by_file(context, kind).items():
            for one in ids:
                found.setdefault(one, f"{kind}_token_id of {file}")
    return found


def _ids_by_file(context: CheckContext, kind: str) -> dict[str, list[int]]:
    base = context.base
    sources: dict[str, Any] = {"config.json": base.config.get_text_config()}
    if base.generation_config is not None:
        sources["generation_config.json"] = base.generation_config
    found = {}
    for file, source in sources.items():
        value = getattr(source, f"{kind}_token_id", None)
        found[file] = [one for one in (value if isinstance(value, list) else [value]) if one is not None]
    return found


def _right_ids(context: CheckContext) -> str:
    """The tokenizer's own special tokens, as JSON."""
    tokens = {kind: context.tokenizer.init_kwargs.get(f"{kind}_token") for kind in _KINDS}
    ids = (
        f'"{kind}_token_id": {token_id_of(context.tokenizer, str(token))}' for kind, token in tokens.items() if token
    )
    return ", ".join(ids)


CHECKS: tuple[Check, ...] = (tokenizer_not_of_model, token_ids_disagree, embeddings_not_of_config)
