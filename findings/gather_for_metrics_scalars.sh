#!/usr/bin/env bash
# accelerate 1.15.0: `gather_for_metrics` drops the scalars of later processes in the last batch of an epoch.
#
# It is made for one entry per row: in the last batch it keeps the first `remainder` entries, where `remainder` is the
# number of rows that are no repetition. A scalar counts as one entry per process. So with 4 processes, 9 rows and a
# batch size of 2 the last gathering of a sum returns the value of the first process alone. `gather` returns all four.
# TRL 1.16.0's SFTTrainer gathers its trained tokens, entropy and right predictions in this way.
#
# Output seen: 4 scalars, then 1 (gather: 4, 4)
#
# Why it matters: sums over processes (tokens, right predictions) are too small in the last batch, without a message, and
# a ratio of two of them describes some of the ranks. Sums need `gather` or `reduce`.
#
# Exits 0 while this is so, 1 when it has changed. Installs torch (some hundred MB).
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet torch==2.13.0 accelerate==1.15.0
cat > "$tmp/sums.py" <<'PY'
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

accelerator = Accelerator(cpu=True)
rows = accelerator.prepare(DataLoader(range(9), batch_size=2))
found = [(len(accelerator.gather_for_metrics(batch.sum())), len(accelerator.gather(batch.sum()))) for batch in rows]
if accelerator.is_main_process:
    (first, all_first), (last, all_last) = found
    print(f"{first} scalars, then {last} (gather: {all_first}, {all_last})")
    raise SystemExit(0 if (first, last, all_first, all_last) == (4, 1, 4, 4) else 1)
PY
"$tmp/venv/bin/torchrun" --nproc_per_node 4 "$tmp/sums.py" 2> /dev/null
