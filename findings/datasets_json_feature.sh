#!/usr/bin/env bash
# datasets 5.2.0: what a `Json` column gives back is not what was put in.
#
# `Json.encode_example` writes with pandas' ujson, which keeps ten digits after the point: 1e-12 comes back as 0.0,
# 3.14159265358979 as 3.1415926536. A text that reads as JSON is kept as the value it spells: "12" comes back as the
# number 12, "007" as 7, "null" as None. An object given as JSON text with a whole number over 64 bits comes back as text.
#
# Output seen: {'x': 0.0, 'y': 3.1415926536} / 12 / None / 7 / '{"n": 1180591620717411303424}'
#
# Why it matters: tool calls, schemas and mixed columns are what `Json` is for (load_dataset chooses it for them), so a
# dataset of tool calls can train other arguments than its file has, without a word. JSON text that Python's json module
# writes, in an Arrow column of type pyarrow.json_(), is read back exactly.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet datasets==5.2.0 pandas==3.1.1
export HF_HOME="$tmp/hf" HF_HUB_OFFLINE=1
"$tmp/venv/bin/python" - <<'PY'
import json
import sys

import pyarrow
from datasets import Dataset, Features, Json

features = Features({"arguments": Json()})
given = [{"x": 1e-12, "y": 3.14159265358979}, "12", "null", "007", json.dumps({"n": 2**70})]
read = Dataset.from_dict({"arguments": given}, features=features)["arguments"][:]
print(*read, sep="\n")

stored = pyarrow.array([json.dumps(value) for value in given], pyarrow.string())
table = pyarrow.table({"arguments": pyarrow.ExtensionArray.from_storage(pyarrow.json_(), stored)})
exact = Dataset(table.replace_schema_metadata(features.arrow_schema.metadata))["arguments"][:]
print("written by json:", exact)
as_seen = read == [{"x": 0.0, "y": 3.1415926536}, 12, None, 7, given[-1]] and exact == given
sys.exit(0 if as_seen else 1)
PY
