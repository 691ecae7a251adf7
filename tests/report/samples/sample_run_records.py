"""The records beside a comparison and in a run folder, as the programs write them."""

import math
import random
from typing import Any

VERSIONS = {"python": "3.11.2", "torch": "2.13.0", "transformers": "5.23.0", "trl": "1.16.0", "peft": "0.21.0"}


def figure(value: float, half_width: float, n: int = 148) -> dict[str, Any]:
    """A figure in the form of the records."""
    return {"value": value, "ci95": [value - half_width, value + half_width], "n": n}


def perplexity() -> dict[str, Any]:
    """perplexity.json with both scopes and, for the answers, both prompt styles of the base."""
    rows = (
        ("base", "text", None, 5.021, 1.0523), ("instruct", "text", None, 5.113, 1.0641),
        ("base", "response", "plain", 5.871, 1.2134), ("base", "response", "chat", 7.732, 1.4021),
        ("instruct", "response", "chat", 4.187, 0.9816),
    )  # fmt: skip
    return {
        "kind": "perplexity",
        "dataset": {"path": "data/functions", "split": "test", "sha256": "9f" * 32, "n_documents": 148},
        "window": 512, "stride": 256, "seed": 0, "versions": {}, "n_processes": 1,
        "condition": {"base": {"token": "<s>"}, "instruct": {"token": None}},
        "results": [
            {"model": model, "path": "x", "scope": scope, "source": None, "prompt_style": style, "n_documents": 148,
             "n_tokens": 18342, "n_bytes": 61204, "nll_nats": bits * 61204 * math.log(2),
             "perplexity": ppl, "bits_per_byte": bits,
             "ci95": {"perplexity": [ppl * 0.95, ppl * 1.05], "bits_per_byte": [bits - 0.03, bits + 0.03]}}
            for model, scope, style, ppl, bits in rows
        ],
        "differences": [
            {"model": "instruct", "against": "base", "scope": scope, "prompt_style": style,
             "against_prompt_style": other, "bits_per_byte": figure(value, 0.024), "relative": figure(relative, 0.019)}
            for scope, style, other, value, relative in (
                ("response", "chat", "plain", -0.2318, -0.191), ("text", None, None, 0.0118, 0.0112),
            )
        ],
    }  # fmt: skip


def run() -> dict[str, Any]:
    """run.json of a finished fine-tuning."""
    recipe = {
        "model_name_or_path": "recipes/quickstart/base", "dataset_name": "data/functions", "num_train_epochs": 2,
        "learning_rate": 2e-3, "lr_scheduler_type": "cosine", "per_device_train_batch_size": 16, "max_length": 512,
        "use_peft": True, "lora_r": 32, "lora_alpha": 64, "lora_target_modules": "all-linear", "seed": 42,
        "gradient_checkpointing_kwargs": None, "report_to": ["none"], "output_dir": "runs/quickstart/sft",
    }  # fmt: skip
    return {
        "kind": "run", "program": "sft", "status": "finished", "recipe": recipe,
        "versions": VERSIONS,
        "machine": {"system": "Linux", "processor": "Some CPU @ 2.20GHz", "n_cores": 2, "accelerators": []},
        "git_commit": "1f2e3d4c5b6a", "seeds": {"seed": 42, "data_seed": 42},
        "base": {"path": "recipes/quickstart/base", "fingerprint": "ab" * 32},
        "dataset": {"path": "data/functions", "fingerprint": "ef" * 32}, "template_sha256": "12" * 32,
        "metrics": {"train_loss": 1.4213, "eval_loss": 1.3121}, "seconds_wall": 163.2, "n_tokens": 412345,
        "tokens_per_second": 2526.6, "peak_memory_bytes": 1_932_735_283,
    }  # fmt: skip


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
    """ledger.json of a training set."""
    return {
        "n_rows": 2784, "kept": 2701, "prompt_cut": 0, "answer_cut": 0, "end_token_lost": 0, "dropped": 83,
        "n_tokens": 412345, "n_tokens_lost": 60210, "reasons": {"the answer is empty": 83},
        "rows": [{"row": 3, "status": "dropped"}],
    }  # fmt: skip


def benchmark() -> dict[str, Any]:
    """benchmark.json of two tasks; the second has no paired difference and no standard error."""
    return {
        "kind": "benchmark", "created": "2026-01-05T10:20:30+00:00", "versions": VERSIONS, "harness_version": "0.4.13",
        "seed": 0, "limit": 100, "notes": ["wikitext: the base saw no end of text"],
        "models": {"base": {"path": "x", "fingerprint": "ab" * 32, "template": False},
                   "instruct": {"path": "y", "fingerprint": "cd" * 32, "template": True}},
        "results": [
            {"task": "arc_easy", "version": 1, "n_shot": 5, "metric": "acc", "better": "higher", "n": 100,
             "models": {"base": {"value": 0.31, "stderr": 0.0465}, "instruct": {"value": 0.29, "stderr": 0.0456}},
             "difference": {"instruct": figure(-0.02, 0.06, 100) | {"p_value": 0.61}}},
            {"task": "wikitext", "version": 2, "n_shot": 0, "metric": "bits_per_byte", "better": "lower", "n": 62,
             "models": {"base": {"value": 1.052, "stderr": None}, "instruct": {"value": 1.064, "stderr": None}},
             "difference": {"instruct": None}},
        ],
    }  # fmt: skip


def training_samples() -> list[dict[str, Any]]:
    """samples.jsonl of two evaluations."""
    prompt = "<|im_start|>user\nWrite f(x).<|im_end|>\n"
    texts = ((100, "def g(x): pass", False), (200, "def f(x):\n    return x", True))
    return [{"step": step, "prompt": prompt, "answer": text, "stopped": stopped} for step, text, stopped in texts]
