"""Describe a dataset folder: its README.md with the Hub's dataset-card YAML, and the summary on the console."""

import json
from pathlib import Path

from data_prep.dataset_folder.schema import SPLITS, Manifest

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def dataset_card(manifest: Manifest, title: str) -> str:
    """Return the card's Markdown. Splits without rows are not listed: the Hub rejects a pattern without a match."""
    splits = [split for split in SPLITS if manifest["n_rows"].get(split)]
    n_rows = sum(manifest["n_rows"].values())
    size = next((name for limit, name in _SIZES if n_rows < limit), "n>1M")
    files = "\n".join(f"  - split: {split}\n    path: data/{split}-*" for split in splits)
    rows = "\n".join(f"| {s} | {manifest['n_rows'][s]:,} | {manifest['n_groups'][s]:,} |" for s in splits)
    rejects = "\n".join(f"| {reason} | {count:,} |" for reason, count in manifest["n_rejected"].items())
    licenses = manifest["licenses"]
    license_line = f"license: {json.dumps(licenses[0] if len(licenses) == 1 else licenses)}\n" if licenses else ""
    return f"""---
{license_line}pretty_name: {json.dumps(title)}
task_categories:
- text-generation
size_categories:
- {size}
configs:
- config_name: default
  data_files:
{files}
---

# {title}

Kind: {manifest["kind"]}. Columns: {", ".join(f"`{column}`" for column in manifest["columns"])}.
Made by `{manifest["command"]}`.

| split | rows | groups |
|---|---|---|
{rows}

All rows of one group are in one split. Rows left out, by reason (each one is in `rejected.jsonl`):

| reason | rows |
|---|---|
{rejects or "| none | 0 |"}

{_unread_line(manifest)}Sources: {"; ".join(_source_line(source) for source in manifest["sources"])}.
"""


def _unread_line(manifest: Manifest) -> str:
    counts = ", ".join(f"`{name}` ({count:,} rows)" for name, count in manifest["unread_columns"].items())
    return f"Columns of the sources that were not kept: {counts}.\n\n" if counts else ""


def _source_line(source: dict) -> str:
    known_by = f"revision `{source['revision']}`" if source.get("revision") else f"sha256 `{source.get('sha256')}`"
    packages = ", ".join(f"{d['name']} {d['version']} ({d['license']})" for d in source.get("distributions", []))
    return f"{source.get('name')}, {known_by}" + (f", holding {packages}" if packages else "")


def summary(manifest: Manifest, output: Path) -> str:
    """Return rows for each split, rejects for each reason, and the path, one item on a line."""
    lines = [f"{output}: {sum(manifest['n_rows'].values()):,} rows of kind {manifest['kind']}"]
    for split in SPLITS:
        n_rows, n_groups = manifest["n_rows"][split], manifest["n_groups"][split]
        effective = f", {manifest['effective_groups'][split]:,.1f} effective" if n_rows and split != "train" else ""
        lines.append(f"  {split:<10} {n_rows:>8,} rows in {n_groups:,} groups{effective}")
    wanted = [split for split, size in manifest["split_sizes"].items() if size > 0 and not manifest["n_rows"][split]]
    if wanted:
        n_groups = sum(manifest["n_groups"].values())
        lines.append(f"  note: {' and '.join(wanted)} have no rows: too few groups ({n_groups}) to split")
    n_rejected = sum(manifest["n_rejected"].values())
    lines.append(f"  left out   {n_rejected:>8,} (each with its reason in {output / 'rejected.jsonl'})")
    lines += [f"    {reason:<26} {count:>8,}" for reason, count in manifest["n_rejected"].items()]
    if manifest["unread_columns"]:
        counts = ", ".join(f"{name} ({count:,} rows)" for name, count in manifest["unread_columns"].items())
        lines.append(f"  columns not kept: {counts}")
    return "\n".join(lines)
