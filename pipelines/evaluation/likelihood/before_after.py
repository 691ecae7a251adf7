"""Bits per byte of held-out text before and after training, over the same documents, with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers import Trainer

from pipelines.evaluation.likelihood.likelihood import DocumentLikelihood, text_likelihoods
from pipelines.evaluation.statistics.intervals import bootstrap_ratio, paired_relative_change_of_ratios
from pipelines.modeling import LoadedModel

Likelihoods = Mapping[str, Sequence[DocumentLikelihood]]


def likelihoods_of_parts(
    loaded: LoadedModel, texts: Mapping[str, Sequence[str]], *, batch_size: int
) -> dict[str, list[DocumentLikelihood]]:
    """Likelihoods of the texts of each part of a corpus, by the part's name; restores the training mode."""
    was_training = loaded.model.training
    loaded.model.eval()
    found = {part: text_likelihoods(loaded, documents, batch_size=batch_size) for part, documents in texts.items()}
    loaded.model.train(was_training)
    return found


def likelihoods_in_training(
    trainer: Trainer, loaded: LoadedModel, texts: Mapping[str, Sequence[str]]
) -> dict[str, list[DocumentLikelihood]]:
    """`likelihoods_of_parts` of the model that `trainer` trains, in the precision and the batches of its evaluation."""
    with trainer.compute_loss_context_manager():
        return likelihoods_of_parts(loaded, texts, batch_size=trainer.args.per_device_eval_batch_size)


def held_out_bits_per_byte(before: Likelihoods | None, after: Likelihoods) -> dict[str, dict[str, Any]]:
    """For each part `after`, and with a model before training `before` and the paired `relative` change, as JSON."""
    return {part: _changes(before[part] if before else None, scored) for part, scored in after.items()}


def held_out_lines(record: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One line for each part: `held-out bits per byte 1.234 -> 1.101 (-10.8% [-11.5%, -10.1%])`."""
    lines = []
    for number, (part, figures) in enumerate(record.items()):
        where = f" of {part}" if number else ""
        after, change = figures["after"], figures.get("relative")
        low, high = (change or after)["ci95"]
        said = f"{after['value']:.4f} [{low:.4f}, {high:.4f}]"
        if change is not None:
            said = f"{figures['before']['value']:.4f} -> {after['value']:.4f}"
            said += f" ({change['value']:+.1%} [{low:+.1%}, {high:+.1%}])"
        lines.append(f"held-out bits per byte{where} {said}")
    return lines


def _changes(before: Sequence[DocumentLikelihood] | None, after: Sequence[DocumentLikelihood]) -> dict[str, Any]:
    kept = [number for number, one in enumerate(after) if one.n_bytes > 0 and one.n_tokens > 0]
    bits, n_bytes = _bits_and_bytes(after, kept)
    figures = {"after": bootstrap_ratio(bits, n_bytes)}
    if before is not None:
        bits_before, n_bytes_before = _bits_and_bytes(before, kept)
        figures["before"] = bootstrap_ratio(bits_before, n_bytes_before)
        figures["relative"] = paired_relative_change_of_ratios(bits, n_bytes, bits_before, n_bytes_before)
    return {name: estimate.to_json() for name, estimate in figures.items()}


def _bits_and_bytes(scored: Sequence[DocumentLikelihood], kept: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    bits, n_bytes = ([getattr(scored[number], name) for number in kept] for name in ("bits", "n_bytes"))
    return np.array(bits), np.array(n_bytes, dtype=float)
