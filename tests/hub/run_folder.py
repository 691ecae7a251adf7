"""A run folder as sft.py leaves it, made without training: real file formats, and all that must not be published."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

COMMIT = "1234567890abcdef1234567890abcdef12345678"
PUBLISHED = {
    "README.md", "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "generation_config.json",
    "lock.json", "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip
KEPT_BACK = {
    "training_args.bin": b"pickle", "adapter_model.bin": b"pickle", "optimizer.pt": b"pickle", "run.json": b"{}",
    "ledger.json": b"{}", "trainer_state.json": b"{}", "samples.jsonl": b"{}", "responses.jsonl": b"{}",
    "checkpoint-1/adapter_model.safetensors": b"", "checkpoint-1/optimizer.pt": b"", ".cache/thing": b"",
    "notes.txt": b"private", "modeling_own.py": b"print()",
}  # fmt: skip
CARD = "---\nlicense: mit\nlibrary_name: peft\n---\n\n# instruct\n"


def write_weights(path: Path, seed: int = 0, metadata: dict[str, str] | None = None) -> Path:
    """A safetensors file with one small random matrix."""
    save_file({"w": np.random.default_rng(seed).normal(size=(8, 8))}, path, metadata=metadata or {"format": "pt"})
    return path


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value, indent=2))
    return path


def write_base(folder: Path) -> Path:
    """A model folder: weights, config, tokenizer."""
    folder.mkdir()
    write_weights(folder / "model.safetensors", seed=1)
    write_json(folder / "config.json", {"model_type": "llama"})
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    write_json(folder / "tokenizer.json", {"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})
    facts = {"eos_token": "a", "is_local": True, "local_files_only": True, "name_or_path": "/home/x/base"}
    write_json(folder / "tokenizer_config.json", facts)


def write_run(folder: Path, base: str = "/home/x/base") -> Path:
    """An adapter on `base` with everything that lies beside one after a run."""
    folder.mkdir()
    write_weights(folder / "adapter_model.safetensors")
    write_json(
        folder / "adapter_config.json", {"peft_type": "LORA", "r": 4, "base_model_name_or_path": base, "revision": None}
    )
    write_tokenizer(folder)
    write_json(folder / "generation_config.json", {"eos_token_id": [0]})
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "README.md").write_text("a card that TRL wrote")
    for name, content in KEPT_BACK.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def lock_of(base: str = "/home/x/base", fingerprint: str = "sha256:abc") -> dict[str, Any]:
    """A lock with paths of this machine in it."""
    return {
        "kind": "lock",
        "version": 1,
        "program": "sft",
        "recipe": {"dataset_name": "/data/x/rows.jsonl", "output_dir": "runs/mine", "learning_rate": 1e-4},
        "base": {"name_or_path": base, "revision": None, "fingerprint": fingerprint, "license": "mit"},
        "adapter": None,
        "datasets": [
            {"split": "train", "path": "/data/x/rows.jsonl", "revision": None, "fingerprint": "x", "n_rows": 2}
        ],
        "tokenizer_sha256": "abc",
        "template_sha256": None,
        "versions": {"python": "3.11.7"},
        "seeds": {"seed": 0, "data_seed": 0},
        "n_processes": 1,
        "parallelism": "none",
        "machine": {"system": "Linux"},
        "git": {"commit": COMMIT, "diff_sha256": "x", "diff": "+ a line with /opt/thing/path\n"},
        "result": None,
    }
