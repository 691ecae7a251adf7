#!/usr/bin/env bash
# datatrove 0.10.1: `ParquetReader` numbers only the rows that have a text, so that an id is not the row's number.
#
# Output seen: ids: ['rows.parquet/0', 'rows.parquet/1'] of rows 0 and 3
#
# Why it matters: an id leads back to another row than the document came from. Number the rows before they are filtered.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet datatrove==0.10.1 orjson regex pyarrow==26.0.1
cd "$tmp"
venv/bin/python - <<'PY' 2>log
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
from datatrove.pipeline.readers import ParquetReader

Path("tables").mkdir()
pyarrow.parquet.write_table(pyarrow.table({"text": ["first", None, "", "fourth"]}), "tables/rows.parquet")
ids = [document.id for document in ParquetReader("tables")()]
print(f"ids: {ids} of rows 0 and 3")
sys.exit(0 if ids[1] == "rows.parquet/1" else 1)
PY
