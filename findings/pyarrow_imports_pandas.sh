#!/usr/bin/env bash
# pyarrow 26: making an array from a list or from NumPy imports pandas where it is installed; so does `Table.take([...])`.
#
# Output seen:
#   ParquetFile.read, slice, to_pylist: pandas imported: False
#   Table.take([0]): pandas imported: True
#
# Why it matters: the import takes 0.5 to 1 s, which is most of the time of a program that reads a few rows. data_prep
# takes single rows by `slice`.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6
"$tmp/venv/bin/python" - "$tmp/rows.parquet" <<'PY'
import sys

import pyarrow
import pyarrow.parquet

pyarrow.parquet.write_table(pyarrow.table({"n": [0, 1, 2]}), sys.argv[1])
PY
"$tmp/venv/bin/python" - "$tmp/rows.parquet" <<'PY'
import sys

import pyarrow.parquet

table = pyarrow.parquet.ParquetFile(sys.argv[1]).read()
table.slice(1, 1).to_pylist()
before = "pandas" in sys.modules
print(f"ParquetFile.read, slice, to_pylist: pandas imported: {before}")
table.take([0])
after = "pandas" in sys.modules
print(f"Table.take([0]): pandas imported: {after}")
sys.exit(0 if after and not before else 1)
PY
