"""Forgetting: bits per byte of a sample of general text before and after the run, without a chat template."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from transformers import PreTrainedTokenizerBase, Trainer

from pipelines.errors import UserError
from pipelines.evaluation.likelihood.before_after import held_out_bits_per_byte, likelihoods_of_parts
from pipelines.evaluation.likelihood.documents import Scope, read_dataset
from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood
from pipelines.inference.teacher_forcing import evaluation_mode
from pipelines.modeling import LoadedModel
from pipelines.postflight.measurement import Measurement, not_measured
from pipelines.records.finding import Finding, Severity

MAX_BYTES = 64 * 1024  # of text, which takes seconds and gives an interval of about 1%
MAX_CHANGE = 0.1  # relative rise: learning a chat format costs less
_PIECE_BYTES = 1024
_BATCH = 2  # pieces of about 250 tokens: their logits need less memory than a training step
_SEED = 0
_WHAT = "general text"


@dataclass(frozen=True)
class GeneralText:
    """A sample of a text file, in pieces."""

    path: str
    sha256: str
    pieces: tuple[str, ...]
    n_bytes_of_file: int

    @property
    def n_bytes(self) -> int:
        """Bytes that are measured."""
        return sum(len(piece.encode()) for piece in self.pieces)


def read_general_text(path: str | None) -> GeneralText | None:
    """At most `MAX_BYTES` of a text file, or of a file of rows with `text`, in pieces of about 1 KiB cut at lines; of a
    longer file a seeded sample. None without a path.

    Raises `UserError` if it cannot be read or has less than two pieces.
    """
    if path is None:
        return None
    if not Path(path).is_file():
        raise UserError(f"general_text {path} does not exist", "set it to a text file, or remove the key")
    try:
        found = read_dataset(path, "test")
        documents = found.in_scope(Scope.TEXT)
    except UserError as error:  # worded for the flags of perplexity.py
        raise UserError(
            f"general_text {path} is neither text nor rows with `text`: {error.problem}", "set it to another file"
        ) from error
    texts = ["".join(documents.items)] if documents.follow_on else list(documents.items)
    n_bytes = sum(len(text.encode()) for text in texts)
    pieces = [piece for text in texts for piece in _pieces(text, max(1, min(_PIECE_BYTES, n_bytes // 2)))]
    if len(pieces) < 2:
        raise UserError(f"general_text {path} has {n_bytes} bytes, too few for an interval", "use a longer file")
    return GeneralText(path, str(found.description["sha256"]), tuple(_drawn(pieces)), n_bytes)


def general_likelihoods(
    trainer: Trainer, general: GeneralText, tokenizer: PreTrainedTokenizerBase
) -> list[DocumentLikelihood]:
    """The likelihood of each piece. Raises `UserError` if the model gives NaN."""
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    loaded = LoadedModel("trained", str(trainer.args.output_dir), model, tokenizer)
    with evaluation_mode(model), trainer.accelerator.autocast():
        return likelihoods_of_parts(loaded, {_WHAT: general.pieces}, batch_size=_BATCH)[_WHAT]


def forgetting(
    general: GeneralText, before: Sequence[DocumentLikelihood], after: Sequence[DocumentLikelihood]
) -> Measurement:
    """Bits per byte before and after with the paired relative change."""
    changes = held_out_bits_per_byte({_WHAT: before}, {_WHAT: after})[_WHAT]
    facts = {
        "path": general.path, "sha256": general.sha256, "n_bytes": general.n_bytes,
        "n_bytes_of_file": general.n_bytes_of_file, "n_pieces": len(general.pieces), **changes,
    }  # fmt: skip
    return Measurement(facts, _line(facts), tuple(_findings(facts)))


def no_general_text(reason: str = "the recipe has no general_text") -> Measurement:
    """The result without figures."""
    return not_measured(_WHAT, reason)


def _findings(facts: Mapping[str, Any]) -> Iterator[Finding]:
    change = facts["relative"]
    low, high = change["ci95"]
    if low <= MAX_CHANGE:
        return
    yield Finding(
        "FORGOT_GENERAL_TEXT",
        Severity.WARNING,
        summary=f"bits per byte of general text changed by {change['value']:+.1%} [{low:+.1%}, {high:+.1%}]: "
        f"{facts['before']['value']:.3f} before the run, {facts['after']['value']:.3f} after it",
        why="the model forgot what the base knew, which a benchmark of the task does not show",
        remedy="set a lower `learning_rate` or fewer `num_train_epochs`, train a LoRA adapter (`use_peft: true`), or "
        "mix general rows into the training rows (`datasets`)",
    )


def _line(facts: Mapping[str, Any]) -> str:
    before, after, change = facts["before"]["value"], facts["after"]["value"], facts["relative"]
    low, high = change["ci95"]
    return f"{_WHAT}: {before:.4f} -> {after:.4f} bits per byte ({change['value']:+.1%} [{low:+.1%}, {high:+.1%}])"


def _pieces(text: str, size: int) -> Iterator[str]:
    """`text` cut after lines into pieces of `size` bytes or a little more; longer lines are cut too."""
    piece, n_bytes = "", 0
    for line in text.splitlines(keepends=True):
        for part in (line[begin : begin + size] for begin in range(0, len(line), size)):
            piece, n_bytes = piece + part, n_bytes + len(part.encode())
            if n_bytes >= size:
                yield piece
                piece, n_bytes = "", 0
    if piece.strip():
        yield piece


def _drawn(pieces: Sequence[str]) -> list[str]:
    order = Random(_SEED).sample(range(len(pieces)), len(pieces))
    chosen: list[int] = []
    n_bytes = 0
    for place in order:
        n_bytes += len(pieces[place].encode())
        if n_bytes > MAX_BYTES and len(chosen) > 1:
            break
        chosen.append(place)
    return [pieces[place] for place in sorted(chosen)]
