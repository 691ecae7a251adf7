"""Merging takes the memory of one output file and the adapter, not of the model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from tests.conftest import PROJECT
from tests.merging.adapters import save_adapter
from tests.merging.conftest import Twin

# Merges twice in one process: the first, of a tiny model, loads all code. Then the peak is forgotten (5 in clear_refs,
# see proc(5)), and what the second adds to the memory in use is its own.
_MEASURED = """
import json, sys
from pathlib import Path
from pipelines.merging.adapter_mix import AdapterMix
from pipelines.merging.merge_into_base import merge_into_base
def kilobytes(name):
    (line,) = [line for line in open("/proc/self/status") if line.startswith(name)]
    return int(line.split()[1])
for base, adapter, folder in zip(*[iter(sys.argv[1:])] * 3):
    Path(folder).mkdir()
    merge_into_base(AdapterMix((adapter,)), base, Path(folder), dtype="auto", max_shard_size="50MB")
    added = kilobytes("VmHWM") - used if "used" in globals() else None
    open("/proc/self/clear_refs", "w").write("5")
    used = kilobytes("VmRSS")
print(json.dumps(added * 1024))
"""


@pytest.mark.slow
def test_merging_a_model_of_400_mb_in_files_of_50_mb_takes_less_than_150_mb(twin: Twin, tmp_path: Path) -> None:
    tiny = twin("llama-3.2-1b")
    config = AutoConfig.from_pretrained(tiny)
    config.update({"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 11, "head_dim": 64,
                   "num_attention_heads": 12, "num_key_value_heads": 12})  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path / "base")
    n_bytes = (tmp_path / "base" / "model.safetensors").stat().st_size
    assert n_bytes > 400e6
    del model
    places = []
    for name, base in (("tiny", tiny), ("large", tmp_path / "base")):
        places += [base, save_adapter(base, tmp_path / f"{name}-adapter", use_dora=True), tmp_path / f"{name}-merged"]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *map(str, places)], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    added = json.loads(done.stdout.splitlines()[-1])
    print(f"{added / 1e6:.0f} MB for a model of {n_bytes / 1e6:.0f} MB")
    assert 20e6 < added < 150e6
    assert len(list((tmp_path / "large-merged").glob("*.safetensors"))) >= n_bytes // 50e6
