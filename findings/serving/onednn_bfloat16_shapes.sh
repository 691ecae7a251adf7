#!/usr/bin/env bash
# torch 2.13.0 on a processor with bfloat16 arithmetic (AVX512-BF16): a product of bfloat16 matrices goes to oneDNN, which
# prepares it for its shape and keeps 1,024 of them. Products of ever other numbers of rows prepare each time and keep
# the memory; in float32 neither happens.
#
# Output seen (2 cores of an AMD EPYC):
#   bfloat16, one shape: 692 microseconds of CPU, 7 MB more
#   bfloat16, varied shapes: 1577 microseconds of CPU, 784 MB more
#   float32, varied shapes: 1446 microseconds of CPU, 2 MB more
#
# Why it matters: training with micro-batches padded to their own longest row becomes slower and takes more memory from
# step to step. Pad to multiples of 32, or set ONEDNN_PRIMITIVE_CACHE_CAPACITY.
#
# Exits 0 while this is so, 1 when it has changed, 0 with a word on a processor without bfloat16 arithmetic.
set -euo pipefail
grep -qE 'avx512_bf16|amx_bf16' /proc/cpuinfo || { echo "no bfloat16 arithmetic here"; exit 0; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet "torch==2.13.0" numpy
cat > "$tmp/products.py" <<'PY'
import resource
import sys
import time

import torch

dtype, varied = getattr(torch, sys.argv[1]), sys.argv[2] == "varied"
torch.set_num_threads(1)
weights = [torch.randn(width, 256, dtype=dtype) for width in range(256, 768, 64)]
most = torch.randn(1000, 256, dtype=dtype)
for weight in weights:
    most[:999] @ weight.T


def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20


before, start, n = megabytes(), time.process_time(), 0
for step in range(200):
    rows = 400 + step if varied else 500
    for weight in weights:
        most[:rows] @ weight.T
        n += 1
print((time.process_time() - start) / n * 1e6, megabytes() - before)
PY
"$tmp/venv/bin/python" - "$tmp/products.py" <<'PY'
import subprocess
import sys

found = {}
for dtype, how in (("bfloat16", "same"), ("bfloat16", "varied"), ("float32", "varied")):
    done = subprocess.run([sys.executable, sys.argv[1], dtype, how], capture_output=True, text=True, check=True)
    found[dtype, how] = time, memory = [float(one) for one in done.stdout.split()]
    print(f"{dtype}, {'varied shapes' if how == 'varied' else 'one shape'}: {time:.0f} microseconds of CPU, {memory:.0f} MB more")
one, many, plain = found.values()
sys.exit(not (many[0] > 1.3 * one[0] and many[1] > one[1] + 20 and plain[1] < many[1] / 2))
PY
