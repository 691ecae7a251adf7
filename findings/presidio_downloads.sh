#!/usr/bin/env bash
# presidio-analyzer 2.2.366 reaches for the network while it analyzes a text: its recognizer of e-mail addresses asks
# tldextract, which downloads the list of public suffixes at the first address. Offline it logs a stack trace and goes on
# with the list of its package. A spaCy model that is not installed is downloaded too, when the engine is made.
#
# Output seen (offline):
#   without an address: no request
#   with an address:    requests https://publicsuffix.org/list/public_suffix_list.dat
#
# Why it matters: a cleaning step that asks presidio for EMAIL_ADDRESS needs the network in every process, or writes stack
# traces; data that must not leave a machine is read by a process that opens connections.
#
# Exits 0 while this is so, 1 when it has changed.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet presidio-analyzer==2.2.366
TLDEXTRACT_CACHE="$tmp/cache" "$tmp/venv/bin/python" - <<'PY'
import logging
import sys

import requests

logging.disable(logging.CRITICAL)
asked = []


def refused(self, method, url, **_):
    asked.append(url)
    raise requests.ConnectionError("no network")


requests.Session.request = refused
from presidio_analyzer.predefined_recognizers import EmailRecognizer

recognizer = EmailRecognizer()
recognizer.analyze("no address here", ["EMAIL_ADDRESS"], None)
before = list(asked)
recognizer.analyze("ada@firm.org", ["EMAIL_ADDRESS"], None)
print("without an address:", before[0] if before else "no request")
print("with an address:    requests", asked[0] if asked else "nothing")
sys.exit(not (not before and asked and "suffix" in asked[0]))
PY
