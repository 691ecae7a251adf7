#!/usr/bin/env bash
# ftfy 6.3.1: `ftfy.badness.is_bad` reads two to three million characters a second, and plain ASCII is its slowest case: a
# quarter of a millisecond for a row of 500 characters that cannot have mojibake. Searching two characters that mojibake must begin
# with (a byte that begins a character of UTF-8 and one that continues it, in an encoding that ftfy knows) is over 20
# times faster.
#
# Output seen:
#   is_bad 191 us, two characters 2.5 us, 528 characters of prose with accents
#
# Why it matters: a million rows through `is_bad` take four minutes of one core. data_prep/conversation/encoding.py asks
# `str.isascii` first, then searches the two characters, and calls ftfy for the lines that are left.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet ftfy==6.3.1
"$tmp/venv/bin/python" - <<'PY'
import re
import sys
import timeit

from ftfy.badness import is_bad
from ftfy.chardata import CHARMAP_ENCODINGS

text = "The old library of Málaga opened its doors – to hundreds of visitors in spring’s light. " * 6
begin, then = (
    "".join(sorted({re.escape(one) for name in CHARMAP_ENCODINGS for one in data.decode(name, "ignore")}))
    for data in (bytes(range(0xC2, 0xF5)), bytes(range(0x80, 0xC0)))
)
pair = re.compile(f"[{begin}][{then}]")
slow, fast = (min(timeit.repeat(lambda: find(text), number=50, repeat=5)) / 50 * 1e6 for find in (is_bad, pair.search))
print(f"is_bad {slow:.0f} us, two characters {fast:.1f} us, {len(text)} characters of prose with accents")
sys.exit(slow < 20 * fast)
PY
