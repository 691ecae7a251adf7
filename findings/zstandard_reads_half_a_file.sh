#!/usr/bin/env bash
# zstandard 0.25: `ZstdDecompressor().stream_reader` ends without an error in a file that is cut in the middle.
#
# Output seen:
#   zstandard: 131072 of 408890 bytes, no error
#   pyarrow: OSError: Truncated compressed stream
#
# Why it matters: of a download that broke off, the first rows are read as if they were all. gzip and lzma raise EOFError.
# `pyarrow.CompressedInputStream` reports it, so that data_prep reads .zst (and .gz) with it.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
python3 - <<'PY'
import io
import sys

import pyarrow
import zstandard

text = "".join(f"some text line {number}\n" for number in range(20_000)).encode()
half = zstandard.compress(text)[:6000]
with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(half)) as opened:
    n_bytes = len(opened.read())
print(f"zstandard: {n_bytes} of {len(text)} bytes, no error")
try:
    with pyarrow.CompressedInputStream(pyarrow.BufferReader(half), "zstd") as opened:
        opened.read()
    sys.exit(1)
except OSError as error:
    print(f"pyarrow: OSError: {error}")
PY
