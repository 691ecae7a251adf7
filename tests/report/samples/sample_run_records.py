"""The records beside a comparison and in a run folder, as the programs write them."""

import json
import math
import random
from pathlib import Path
from typing import Any

_RECORDS = Path(__file__).parent / "records"


def record(name: str) -> Any:
    """The record in records/NAME.json."""
    return json.loads((_RECORDS / f"{name}.json").read_text(encoding="utf-8"))


VERSIONS = record("run")["versions"]


def figure(value: float, half_width: float, n: int = 148) -> dict[str, Any]:
    """A figure in the form of the records."""
    return {"value": value, "ci95": [value - half_width, value + half_width], "n": n}


def perplexity() -> dict[str, Any]:
    return record("perplexity")


def run() -> dict[str, Any]:
    return record("run")


def trainer_state(n_steps: int = 174) -> dict[str, Any]:
    """transformers' trainer_state.json with a falling loss."""
    chance, history = random.Random(1), []
    for step in range(2, n_steps + 1, 2):
        loss = 1.2 + 2.2 * math.exp(-step / 30)
        history.append({"step": step, "loss": loss + chance.gauss(0, 0.05), "learning_rate": 1e-3, "epoch": step / 87})
        if step % 30 == 0 or step == n_steps:
            learned = {"eval_p_end": 1 - math.exp(-step / 40), "eval_p_end_inside": 0.05 * math.exp(-step / 60)}
            history.append({"step": step, "eval_loss": loss + 0.08, "epoch": step / 87} | learned)
    return {"log_history": [*history, {"step": n_steps, "train_loss": 1.4213}], "global_step": n_steps}


def ledger() -> dict[str, Any]:
    return record("ledger")


def benchmark() -> dict[str, Any]:
    return record("benchmark")


def training_samples() -> list[dict[str, Any]]:
    return record("training_samples")
