#!/usr/bin/env bash
# peft 0.21.2: adapter_config.json of the same adapter differs from process to process.
#
# `target_modules` is kept as a set, also where a list was given, and written in the set's order, which follows from the
# seed that each Python process draws for the hashes of strings. `modules_to_save` and `exclude_modules` are sets in
# the same way. The keys of the file are sorted, the lists are not.
#
# Output seen: 2 or more different orders of q_proj, k_proj, v_proj, o_proj in 12 processes
#
# Why it matters: two equal runs have unequal files, so a hash of the run folder, a diff or the Hub's history shows a
# change where there is none. Sort the lists after saving, or set PYTHONHASHSEED.
#
# Exits 0 while this is so, 1 when it has changed. Installs torch (some hundred MB).
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet torch==2.13.0 peft==0.21.2
cat > "$tmp/save.py" <<'PY'
import json, sys
from peft import LoraConfig

LoraConfig(target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]).save_pretrained(sys.argv[1])
print(json.load(open(f"{sys.argv[1]}/adapter_config.json"))["target_modules"])
PY
for seed in $(seq 12); do
  PYTHONHASHSEED=$seed "$tmp/venv/bin/python" "$tmp/save.py" "$tmp/adapter" 2> /dev/null
done | sort -u > "$tmp/orders"
echo "$(wc -l < "$tmp/orders") different orders of q_proj, k_proj, v_proj, o_proj in 12 processes"
test "$(wc -l < "$tmp/orders")" -gt 1
