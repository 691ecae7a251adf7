"""Inputs of a run for run.json and its lock: base, adapter, rows, tokenizer and template."""

from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import ModelConfig

from data_prep.dataset_folder import is_dataset_folder, read_manifest
from pipelines.files import sha256_of_text
from pipelines.hub.model_ref import ModelRef, model_fingerprint
from pipelines.hub.pulling import local_copy
from pipelines.modeling import template_sha256, tokenizer_sha256
from pipelines.recipe.arguments import DataArguments, MixtureArguments, MixturePart, PretrainingArguments
from pipelines.records import Card, DatasetIdentity, Inputs, License, ModelIdentity, card_of
from pipelines.training.data.rows import rows_fingerprint
from pipelines.training.pretrain.corpus import Corpus

_SPLITS = ("train", "validation")  # the role of the rows, whatever the recipe calls their splits


def fine_tuning_inputs(
    data: DataArguments, rows: Sequence[Dataset | None], tokenizer: PreTrainedTokenizerBase, start: ModelRef
) -> Inputs:
    """Describe the inputs of a run from `start` on `rows`: training rows and held-out rows."""
    sources = [(part, _card(part)) for part in _parts(data)]
    licenses = tuple(dict.fromkeys(one for part, card in sources for one in _licenses(part, card)))
    is_mixture = len(sources) > 1
    revisions = tuple((part.path, card.revision) for part, card in sources)
    return Inputs(
        base=model_identity(start.base, start.revision),
        adapter=model_identity(start.adapter) if start.adapter else None,
        datasets=tuple(
            DatasetIdentity(
                split,
                path=" + ".join(path for path, _ in revisions),
                revision=None if is_mixture else revisions[0][1],
                fingerprint=rows_fingerprint(members),
                n_rows=len(members),
                licenses=licenses,
                parts=revisions if is_mixture else (),
            )
            for split, members in zip(_SPLITS, rows, strict=True)
            if members is not None
        ),
        tokenizer_sha256=tokenizer_sha256(tokenizer),
        template_sha256=template_sha256(tokenizer),
    )


def pretraining_inputs(
    arguments: PretrainingArguments, corpus: Corpus, tokenizer: PreTrainedTokenizerBase, model: ModelConfig
) -> Inputs:
    """Describe the inputs of a run on `corpus`: each part, and the documents held out of it."""
    name, trained, held_out = model.model_name_or_path, [], []
    for part, (path, texts) in zip(_parts(arguments), corpus.held_out_texts.items(), strict=True):
        card = _card(part)
        licenses = tuple(_licenses(part, card))
        facts = next((one for one in corpus.facts.get("parts", ()) if one["path"] == path), corpus.facts)
        rows = (facts["fingerprint"], facts.get("n_rows"))
        trained.append(DatasetIdentity("train", path, card.revision, *rows, licenses))
        rows = (f"sha256:{sha256_of_text(chr(0).join(texts))}", len(texts))
        held_out.append(DatasetIdentity("validation", path, card.revision, *rows, licenses))
    return Inputs(
        base=model_identity(name, model.model_revision) if name else None,
        datasets=(*trained, *held_out),
        tokenizer_sha256=tokenizer_sha256(tokenizer),
        template_sha256=template_sha256(tokenizer),
    )


def model_identity(name_or_path: str, revision: str | None = None) -> ModelIdentity:
    """Name, commit, fingerprint and license of a model; a Hub id without the revision."""
    found = local_copy(name_or_path, revision)
    fingerprint = model_fingerprint(name_or_path, revision)
    return ModelIdentity(found.name, found.commit, fingerprint, card_of(found.name, found.commit).license)


def _parts(arguments: MixtureArguments) -> list[MixturePart]:
    """The entries of a mixture, or the one dataset of a recipe as an entry."""
    parts = [part for part in arguments.datasets if isinstance(part, MixturePart)]
    if parts:
        return parts
    assert isinstance(arguments, DataArguments | PretrainingArguments)
    name = str(arguments.dataset_name)
    return [MixturePart(path=name, name=arguments.dataset_config, revision=arguments.dataset_revision)]


def _card(part: MixturePart) -> Card:
    return card_of(part.path, part.revision, repo_type="dataset")


def _licenses(part: MixturePart, card: Card) -> list[License]:
    """Licenses of a dataset: its card's, and those of a dataset folder's sources."""
    found = [License(part.path, card.license)] if card.license else []
    if not is_dataset_folder(Path(part.path)):
        return found
    for source in read_manifest(part.path).get("sources", []):
        packages = source.get("distributions", [])
        found += [License(f"{one['name']} {one['version']}", one["license"]) for one in packages if one["license"]]
        if source.get("revision"):  # a Hub dataset, whose card has the license
            repo_id = source["name"].partition("@")[0]
            license = card_of(repo_id, source["revision"], repo_type="dataset").license
            found += [License(repo_id, license)] if license else []
    return found
