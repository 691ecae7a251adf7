#!/usr/bin/env bash
# accelerate 1.15.0: a launch with FSDP on a machine without an accelerator trains with data parallelism, and says nothing.
#
# `accelerate launch` sets ACCELERATE_USE_FSDP for `distributed_type: FSDP`, but `AcceleratorState` reads it only for the
# types MULTI_GPU, MULTI_XPU and so on. On processors the type is MULTI_CPU, so every process keeps the whole model. torch
# itself shards over gloo (`fully_shard`).
#
# Output seen: MULTI_CPU, DistributedDataParallel
#
# Why it matters: a test of FSDP on processors tests DDP, and records of the run that read the variable say FSDP.
#
# Exits 0 while this is so, 1 when it has changed. Installs torch (some hundred MB).
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet torch==2.13.0 accelerate==1.15.0
cat > "$tmp/fsdp.yaml" <<'YAML'
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
num_machines: 1
num_processes: 2
main_process_port: 0
mixed_precision: "no"
fsdp_config: {fsdp_version: 2, fsdp_auto_wrap_policy: NO_WRAP}
YAML
cat > "$tmp/wrapped.py" <<'PY'
import torch
from accelerate import Accelerator

accelerator = Accelerator(cpu=True)
model = accelerator.prepare(torch.nn.Linear(4, 4))
found = accelerator.distributed_type.value, type(model).__name__
if accelerator.is_main_process:
    print(", ".join(found))
raise SystemExit(0 if found == ("MULTI_CPU", "DistributedDataParallel") else 1)
PY
"$tmp/venv/bin/accelerate" launch --config_file "$tmp/fsdp.yaml" "$tmp/wrapped.py" 2> /dev/null
