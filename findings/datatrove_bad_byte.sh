#!/usr/bin/env bash
# datatrove 0.10.1: one byte that is not UTF-8 makes `JsonlReader` lose the whole file, and the run succeeds.
#
# The file is read as text in blocks, so the error comes before the first line of the block: of five good lines and a
# sixth with one Latin-1 letter no document is read. A line that is not JSON is skipped. Both are a warning in a log, and
# in no count. A line that is JSON but no object (`[1]`) ends the task with an AttributeError. `ParquetReader` numbers
# only the rows with text, so that the id `rows.parquet/1` is the fourth row here.
#
# Output seen: documents read: 0, tasks completed: 1 / ids: ['rows.parquet/0', 'rows.parquet/1'] of rows 0 and 3
#
# Why it matters: a web crawl has such bytes. Compare the documents that were read with the lines of the files.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet datatrove==0.10.1 orjson regex pyarrow
cd "$tmp"
venv/bin/python - <<'PY' 2>log
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader, ParquetReader

Path("lines").mkdir()
Path("lines/crawl.jsonl").write_bytes(b'{"text": "good"}\n' * 5 + b'{"text": "caf\xe9"}\n')
read = []
count = lambda data, rank, world_size: read.extend(data) or ()
one = LocalPipelineExecutor([JsonlReader("lines"), count], workers=1, logging_dir="logs")
one.run()
completed = len(list(Path("logs/completions").iterdir()))
print(f"documents read: {len(read)}, tasks completed: {completed}")

Path("tables").mkdir()
pyarrow.parquet.write_table(pyarrow.table({"text": ["first", None, "", "fourth"]}), "tables/rows.parquet")
ids = [document.id for document in ParquetReader("tables")()]
print(f"ids: {ids} of rows 0 and 3")
sys.exit(0 if (len(read), completed, ids[1]) == (0, 1, "rows.parquet/1") else 1)
PY
