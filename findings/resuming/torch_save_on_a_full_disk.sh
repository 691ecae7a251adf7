#!/usr/bin/env bash
# torch 2.13.0, tokenizers 0.22: no OSError on a full disk, and torch.save does not name the disk at all.
#
# When the disk takes no more bytes, open().write() raises OSError with errno ENOSPC. torch.save raises a RuntimeError
# about positions in its file, safetensors a SafetensorError and tokenizers a bare Exception with the system's words.
# Here a limit on the size of files (RLIMIT_FSIZE) stands for the full disk; on a small tmpfs the errors are the same
# with "No space left on device".
#
# Output seen:
#   torch.save: RuntimeError: [enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534
#   safetensors: SafetensorError: Error while serializing: I/O error: File too large (os error 27)
#   tokenizers: Exception: File too large (os error 27)
#
# Why it matters: `except OSError` around a checkpoint misses all three, and the user reads about positions in a file.
#
# Exits 0 while this is so, 1 when it has changed. Installs torch (some hundred MB).
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet torch==2.13.0 safetensors numpy tokenizers
cat > "$tmp/full.py" <<'PY'
import resource, sys
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models

folder, tensor = sys.argv[1], torch.zeros(100_000)
tokenizer = Tokenizer(models.WordLevel({str(number): number for number in range(20_000)}, unk_token="0"))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
writers = {
    "torch.save": lambda: torch.save({"a": tensor}, f"{folder}/a.pt"),
    "safetensors": lambda: save_file({"a": tensor}, f"{folder}/a.safetensors"),
    "tokenizers": lambda: tokenizer.save(f"{folder}/a.json"),
}
as_seen = True
for name, write in writers.items():
    try:
        write()
        as_seen = False
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}".splitlines()[0])
        as_seen &= not isinstance(error, OSError) and (name == "torch.save") == ("too large" not in str(error))
raise SystemExit(0 if as_seen else 1)
PY
"$tmp/venv/bin/python" "$tmp/full.py" "$tmp"
