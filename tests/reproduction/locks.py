"""A lock as a run of sft.py writes it, in small."""

from typing import Any


def lock(**changes: Any) -> dict[str, Any]:
    """A finished lock, with `changes` in place of its keys."""
    recipe = {"model_name_or_path": "org/base", "dataset_name": "rows", "learning_rate": 1e-3, "output_dir": "run"}
    rows = {"path": "rows", "revision": None, "licenses": []}
    whole: dict[str, Any] = {
        "kind": "lock", "version": 1, "program": "sft",
        "recipe": recipe,
        "base": {"name_or_path": "org/base", "revision": "c0ffee", "fingerprint": "hub:org/base@c0ffee"},
        "adapter": None,
        "datasets": [
            {**rows, "split": "train", "fingerprint": "sha256:1", "n_rows": 9},
            {**rows, "split": "validation", "fingerprint": "sha256:2", "n_rows": 2},
        ],
        "tokenizer_sha256": "a" * 64, "template_sha256": "b" * 64, "versions": {"torch": "2.13.0"},
        "git": {"commit": "1" * 40, "diff_sha256": None, "diff": None}, "seeds": {"seed": 0}, "n_processes": 1,
        "parallelism": "none", "machine": {"processor": "one", "n_cores": 2, "n_threads": 2, "accelerators": []},
        "result": {"weights_sha256": "sha256:w", "loss_curve": [[1, 2.0], [2, 1.0]], "metrics": {"train_loss": 1.5}},
    }  # fmt: skip
    return whole | changes
