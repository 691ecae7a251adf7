"""What a run forgets: bits per byte of a sample of general text before and after it, without any chat template."""

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
from pipelines.postflight.part import Measurement, not_measured
from pipelines.records.finding import Finding, Severity

MAX_BYTES = 64 * 1024  # of text that are measured: seconds, and an interval of about 1% of the change
MAX_CHANGE = 0.1  # bits per byte more than before: what answers to a chat prompt alone do not cost
_PIECE_BYTES = 1024
_BATCH = 2  # of pieces of some 250 tokens: their logits stay small beside what a training step takes
_SEED = 0
_WHAT = "general text"


@dataclass(frozen=True)
class GeneralText:
    """A sample of a text file, `pieces` of it in their order."""

    path: str
    sha256: str
    pieces: tuple[str, ...]
    n_bytes_of_file: int

    @property
    def n_bytes(self) -> int:
        """Bytes that are measured."""
        return sum(len(piece.encode()) for piece in self.pieces)


def read_general_text(path: str | None) -> GeneralText | None:
    """At most `MAX_BYTES` of a text file, or of a file of rows with `text`, in pieces of about 1 KiB cut at lines; None
    for no path.

    Of a longer file they are drawn at random, the same ones each time. Raises `UserError` if it cannot be read or gives
    less than two pieces.
    """
    if path is None:
        return None
    if not Path(path).is_file():
        raise UserError(
            expected=f"a text file at general_text {path}", got="no such file", remedy="name one, or remove the key"
        )
    try:
        found = read_dataset(path, "test")
        documents = found.in_scope(Scope.TEXT)
    except UserError as error:  # worded for the flags of perplexity.py
        raise UserError(
            expected=f"general_text to be a file of text or of rows with `text`: {path}",
            got=error.got,
            remedy="name another file",
        ) from error
    texts = ["".join(documents.items)] if documents.follow_on else list(documents.items)
    n_bytes = sum(len(text.encode()) for text in texts)
    pieces = [piece for text in texts for piece in _pieces(text, max(1, min(_PIECE_BYTES, n_bytes // 2)))]
    if len(pieces) < 2:
        raise UserError(
            expected=f"text enough for an interval in general_text {path}", got=f"{n_bytes} bytes", remedy="name more"
        )
    return GeneralText(path, str(found.description["sha256"]), tuple(_drawn(pieces)), n_bytes)


def general_likelihoods(
    trainer: Trainer, general: GeneralText, tokenizer: PreTrainedTokenizerBase
) -> list[DocumentLikelihood]:
    """The likelihood of each piece under the model as it is. Raises `UserError` for a model that gives no numbers."""
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
    """The part of a run without figures."""
    return not_measured(_WHAT, reason)


def _findings(facts: Mapping[str, Any]) -> Iterator[Finding]:
    change = facts["relative"]
    low, high = change["ci95"]
    if low <= MAX_CHANGE:
        return
    yield Finding(
        "FORGOT_GENERAL_TEXT",
        Severity.WARNING,
        summary=f"general text takes {change['value']:+.1%} bits per byte [{low:+.1%}, {high:+.1%}]: "
        f"{facts['before']['value']:.3f} before the run, {facts['after']['value']:.3f} after it",
        why="knowledge of the base was lost, which a benchmark of the task does not show",
        remedy="set a lower `learning_rate` or fewer `num_train_epochs`, train a LoRA adapter (`use_peft: true`), or "
        "mix general rows into the training rows (`datasets`)",
    )


def _line(facts: Mapping[str, Any]) -> str:
    before, after, change = facts["before"]["value"], facts["after"]["value"], facts["relative"]
    low, high = change["ci95"]
    return f"{_WHAT}: {before:.4f} -> {after:.4f} bits per byte ({change['value']:+.1%} [{low:+.1%}, {high:+.1%}])"


def _pieces(text: str, size: int) -> Iterator[str]:
    """`text` cut behind lines into pieces of `size` bytes or a little more; a longer line is cut too."""
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
