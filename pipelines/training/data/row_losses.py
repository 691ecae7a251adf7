"""The loss of each training row under the trained model, to find rows that do not belong."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset
from transformers import Trainer

from pipelines.inference.teacher_forcing import AnswerRow, answer_logits, evaluation_mode
from pipelines.training.data.ledger import Ledger

FILE_NAME = "row_losses.parquet"
# of the run's tokens: a forward costs about a third of a step, so this is about a tenth of the run's time
_SHARE_OF_RUN = 0.3
_MIN_EXAMPLES, _N_HIGHEST = 256, 20


def write_row_losses(trainer: Trainer, train: Dataset, rows: Dataset, ledger: Ledger, n_trained: int | None) -> Any:
    """Write row_losses.parquet into the run's folder; return its summary for run.json, or the reason for none.

    `train` are the examples of `ledger`, made from `rows`; `n_trained` counts the tokens that the run read. Measures
    all rows, or a seeded sample whose forward pass takes about a tenth of the run. Columns, highest loss first: `row`
    (number among the training rows), `source` and `source_row` if present, `loss` (mean nats per trained token) and
    `n_tokens` (trained). Every rank may call it; rank 0 measures.
    """
    if not trainer.is_world_process_zero():
        return None
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        return {"reason": "the weights are in shards on several devices (FSDP, DeepSpeed)"}
    numbers = list(dict.fromkeys(ledger.example_rows))
    chosen = _chosen(numbers, ledger, n_trained, trainer.args.seed)
    places = [place for place, row in enumerate(ledger.example_rows) if row in chosen]
    sums: dict[int, float] = defaultdict(float)
    counts: dict[int, int] = defaultdict(int)
    for place, loss, n_tokens in _losses(trainer, train, places):
        sums[ledger.example_rows[place]] += loss
        counts[ledger.example_rows[place]] += n_tokens
    found = sorted(sums, key=lambda row: -sums[row] / counts[row])
    columns = [name for name in ("source", "source_row") if name in rows.column_names]
    values = rows.select(found).select_columns(columns).to_dict() if columns else {}
    table = pa.table(
        {
            "row": found,
            **values,
            "loss": [sums[row] / counts[row] for row in found],
            "n_tokens": [counts[row] for row in found],
        }
    )
    path = Path(str(trainer.args.output_dir)) / FILE_NAME
    pq.write_table(table, path.with_suffix(".partial"))
    path.with_suffix(".partial").replace(path)
    return {
        "path": FILE_NAME,
        "n_rows": len(found),
        "n_rows_trained": len(numbers),
        "mean": sum(sums.values()) / max(1, sum(counts.values())),
        "highest": table.slice(0, _N_HIGHEST).to_pylist(),
    }


def row_losses_line(said: Any) -> list[str]:
    """Format the result of `write_row_losses` for the terminal."""
    if said is None:
        return []
    if "reason" in said:
        return [f"row losses: not measured, {said['reason']}"]
    n_rows, n_trained = said["n_rows"], said["n_rows_trained"]
    which = f"{n_rows} rows" if n_rows == n_trained else f"a sample of {n_rows} of {n_trained} rows"
    highest = "".join(f", highest {one['loss']:.4g} in row {one['row']}" for one in said["highest"][:1])
    return [f"row losses: mean {said['mean']:.4g} nats per trained token over {which}{highest} ({said['path']})"]


def _chosen(numbers: Sequence[int], ledger: Ledger, n_trained: int | None, seed: int) -> set[int]:
    """The rows to measure: all, or as many as a tenth of the run takes."""
    share = _SHARE_OF_RUN * (n_trained or ledger.n_tokens) / max(1, ledger.n_tokens)
    n_chosen = max(_MIN_EXAMPLES, round(share * len(numbers)))
    return set(numbers) if n_chosen >= len(numbers) else set(random.Random(seed).sample(numbers, n_chosen))


def _losses(trainer: Trainer, train: Dataset, places: Sequence[int]) -> Iterator[tuple[int, float, int]]:
    """(place, sum of the losses in nats, trained tokens) of the examples at `places`, short ones first."""
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    examples = [(place, AnswerRow.of(train[place])) for place in places]
    examples = sorted((one for one in examples if one[1].places), key=lambda one: len(one[1].token_ids))
    numbers = iter(place for place, _ in examples)
    with evaluation_mode(model), torch.no_grad(), trainer.accelerator.autocast():
        for row, logits in answer_logits(model, [row for _, row in examples]):
            labels = torch.tensor(row.labels, device=logits.device)
            loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
            yield next(numbers), float(loss), len(row.labels)
