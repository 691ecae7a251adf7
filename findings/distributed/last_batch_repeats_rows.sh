#!/usr/bin/env bash
# accelerate 1.15.0: with several processes the last batch of an epoch is filled up with rows that were in the epoch already.
#
# `even_batches` is on by default, so that every process has as many batches: 10 rows in batches of 2 for 2 processes are
# 6 batches, the last one of the first two rows again. In training their loss counts; `gather_for_metrics` leaves them out
# of metrics, but not what was computed from a whole batch, such as its mean loss.
#
# Output seen: 0 and 1 are read twice
#
# Why it matters: a run of two processes differs from one with the same global batch in the last step of each epoch, and
# the mean loss of an evaluation differs too.
#
# Exits 0 while this is so, 1 when it has changed. Installs torch (some hundred MB).
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet torch==2.13.0 accelerate==1.15.0
cat > "$tmp/rows.py" <<'PY'
from collections import Counter

from accelerate import Accelerator
from torch.utils.data import DataLoader

accelerator = Accelerator(cpu=True)
rows = accelerator.prepare(DataLoader(range(10), batch_size=2))
read = Counter(row for batch in rows for row in accelerator.gather(batch).tolist())
twice = [row for row, times in read.items() if times == 2]
if accelerator.is_main_process:
    print(f"{' and '.join(map(str, twice))} are read twice")
raise SystemExit(0 if twice == [0, 1] else 1)
PY
"$tmp/venv/bin/torchrun" --nproc_per_node 2 "$tmp/rows.py" 2> /dev/null
