"""Describe a dataset folder: its README.md with the Hub's dataset-card YAML, and the summary on the console."""

import json
import random
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from data_prep.dataset_folder.batches import rows_at
from data_prep.dataset_folder.excerpts import row_excerpts
from data_prep.dataset_folder.lengths import TURNS
from data_prep.dataset_folder.schema import SPLITS
from pipelines.files import write_text_atomically
from pipelines.files.visible_text import fenced, markdown_code, markdown_text

Row = Mapping[str, Any]

N_EXAMPLES = 3
_BAR_LENGTH = 12
_SIZES = (
    (1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M"),
    (1e8, "10M<n<100M"), (1e9, "100M<n<1B"),
)  # fmt: skip
_TAGS = {
    "instructions": ["instruction-tuning", "sft"],
    "conversations": ["conversational", "sft"],
    "preferences": ["preference", "dpo"],
    "corpus": ["pretraining"],
}


def write_card(folder: Path, manifest: Row, title: str) -> None:
    """Write README.md into `folder`, whose Parquet files are complete."""
    write_text_atomically(folder / "README.md", dataset_card(manifest, title, example_rows(folder, manifest)))


def example_rows(folder: Path, manifest: Row) -> list[dict[str, Any]]:
    """Return some rows of the first split that has any, chosen by the manifest's seed."""
    split = next(split for split in SPLITS if manifest["n_rows"].get(split))
    n_rows = manifest["n_rows"][split]
    chosen = random.Random(manifest["seed"]).sample(range(n_rows), min(N_EXAMPLES, n_rows))
    return rows_at(folder, split, sorted(chosen))


def dataset_card(manifest: Row, title: str, examples: Sequence[Row] = ()) -> str:
    """Return the card's Markdown. Splits without rows are not listed: the Hub rejects a pattern without a match.

    Absolute paths in the command are shortened to their last part: the card is what readers elsewhere see.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"md": markdown_text, "md_code": markdown_code, "fenced": fenced, "tojson": json.dumps}
    return environment.get_template("card.md.j2").render(_content(manifest, title, examples))


def _content(manifest: Row, title: str, examples: Sequence[Row]) -> dict[str, Any]:
    n_rows = sum(manifest["n_rows"].values())
    by_source = manifest.get("rejected_by_source", {})
    return {
        **{name: manifest[name] for name in ("kind", "columns", "n_rejected", "seed", "licenses")},
        "title": title,
        "languages": _languages(manifest),
        "tags": _TAGS.get(manifest["kind"], []),
        "size_category": next((name for limit, name in _SIZES if n_rows < limit), "n>1B"),
        "n_rows": n_rows,
        "splits": _splits(manifest),
        "lengths": _length_table(manifest["lengths"]) if manifest.get("lengths") else None,
        "examples": [_example(row) for row in examples],
        "is_mixture": any("mixture" in source for source in manifest["sources"]),
        "sources": [_source(source, manifest["licenses"]) for source in manifest["sources"]],
        "unread_columns": manifest.get("unread_columns", {}),
        "steps": list(_steps(manifest)),
        "by_source": [(source, reason, n) for source, counts in by_source.items() for reason, n in counts.items()]
        if len(by_source) > 1
        else [],
        "command": without_local_paths(manifest["command"]),
    }


def without_local_paths(command: str) -> str:
    """Return a shell command with each absolute path shortened to its last part."""
    words = (word.rpartition("=") if word.startswith("--") else ("", "", word) for word in shlex.split(command))
    return shlex.join(f"{flag}{equals}{_last_part(value)}" for flag, equals, value in words)


def _last_part(word: str) -> str:
    path = PureWindowsPath(word)  # which takes both kinds of slashes
    return (path.name or word) if path.is_absolute() or PurePosixPath(word).is_absolute() else word


def _splits(manifest: Row) -> list[dict[str, Any]]:
    effective = manifest.get("effective_groups", {})
    return [
        {
            "name": name,
            "n_rows": manifest["n_rows"][name],
            "n_groups": manifest["n_groups"][name],
            "effective": f"{effective[name]:,.1f}" if name in effective else "",
        }
        for name in SPLITS
        if manifest["n_rows"].get(name)
    ]


def _length_table(lengths: Mapping[str, Row]) -> dict[str, Any]:
    """Rows of bars: for each length that occurs, the share of each role's texts."""
    roles = [role for role, found in lengths.items() if found["n"]]
    shares = {role: {limit: n / lengths[role]["n"] for limit, n in lengths[role]["histogram"]} for role in roles}
    limits = sorted({limit for counts in shares.values() for limit in counts})
    return {
        "roles": roles,
        "has_turns": TURNS in roles,
        "rows": [
            {"label": range_label(limit), "cells": [_bar(shares[role].get(limit, 0)) for role in roles]}
            for limit in limits
        ],
        "totals": [(name, [f"{lengths[role][name]:,}" for role in roles]) for name in ("p5", "p50", "p95", "max")],
    }


def range_label(limit: int) -> str:
    """Return the lengths that a histogram's bar up to `limit` counts: 32-63."""
    return f"{(limit + 1) // 2:,}-{limit:,}" if limit > 1 else str(limit)


def _bar(share: float) -> str:
    if share == 0:
        return ""
    shown = f"{share:.1%}" if share >= 0.0005 else "<0.1%"
    return f"{'█' * round(share * _BAR_LENGTH)} {shown}".strip()


def _example(row: Row) -> dict[str, Any]:
    place = f"{row.get('source')}, row {row.get('source_row')}"
    return {"place": place, "texts": [(one.name, one.text, one.n_hidden) for one in row_excerpts(row)]}


def _source(source: Row, licenses: Sequence[str]) -> dict[str, str]:
    packages = [f"{d['name']} {d['version']}: {d['license']}" for d in source.get("distributions", [])]
    own = source.get("license")
    named = [own] if isinstance(own, str) else own or ([] if packages else licenses)
    known_by = source.get("revision") or source.get("sha256")
    kind = "revision" if source.get("revision") else "sha256"
    return {
        "name": str(source.get("name")),
        "n_rows": f"{source['n_rows']:,}" if "n_rows" in source else "",
        "license": "; ".join([*named, *packages]) or "not stated",
        "mixture": _mixture(source.get("mixture", {})),
        "version": f"{kind} {markdown_code(str(known_by))}" if known_by else "",
    }


def _mixture(mixed: Row) -> str:
    """How often rows of a source are written, and in how many phrasings."""
    texts = {**mixed, "phrasings": len(mixed.get("phrasings", ()))}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in texts.items() if value)


def _languages(manifest: Row) -> list[str]:
    """The languages that the step `language` kept; none if it did not run."""
    steps = dict(step_and_options(step) for step in manifest.get("steps", []))
    return list(steps.get("language", {}).get("keep") or ())


def _steps(manifest: Row) -> Iterator[dict[str, Any]]:
    """Yield each cleaning step in order with its options, what it changed and how many rows it left out."""
    changed, rejected = manifest.get("n_changed", {}), manifest.get("rejected_by_step", {})
    for step in manifest.get("steps", []):
        name, options = step_and_options(step)
        yield {
            "name": name,
            "options": ", ".join(f"{key}: {json.dumps(value)}" for key, value in options.items()),
            "changed": ", ".join(f"{what} {count:,}" for what, count in changed.get(name, {}).items()),
            "n_rejected": f"{rejected[name]:,}" if name in rejected else "",
        }


def step_and_options(step: Any) -> tuple[str, dict[str, Any]]:
    """Return name and options of an entry of the manifest's `steps`: a name, or {name: {option: value}}."""
    if isinstance(step, Mapping):
        [(name, options)] = step.items()
        return name, dict(options or {})
    return str(step), {}


def summary(manifest: Row, output: Path) -> str:
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
    lines += _changed_lines(manifest.get("n_changed", {}), output)
    if manifest["unread_columns"]:
        counts = ", ".join(f"{name} ({count:,} rows)" for name, count in manifest["unread_columns"].items())
        lines.append(f"  columns not kept: {counts}")
    lines.append(f"  look at it: python data_prep/inspect_dataset.py {shlex.quote(str(output))}")
    return "\n".join(lines)


def _changed_lines(n_changed: Mapping[str, Mapping[str, int]], output: Path) -> list[str]:
    """What the cleaning steps changed, one line for each step."""
    steps = {step: counts for step, counts in n_changed.items() if any(counts.values())}
    head = [f"  changed    (each in {output / 'changed.jsonl'})"] if steps else []
    return head + [
        f"    {step:<26} {', '.join(f'{what} {count:,}' for what, count in counts.items())}"
        for step, counts in steps.items()
    ]
