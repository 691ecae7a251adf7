"""Which packages a `pip install --target` tree holds, with versions and licences."""

import importlib.metadata
from importlib.metadata import PackageMetadata
from pathlib import Path


def distributions_of(root: Path) -> list[dict[str, str]]:
    """Name, version and licence of each `*.dist-info` directly in `root`, sorted by name."""
    if not any(root.glob("*.dist-info/METADATA")):
        return []
    found = [
        {"name": d.metadata["Name"], "version": d.version, "license": _licence(d.metadata)}
        for d in importlib.metadata.distributions(path=[str(root)])
    ]
    return sorted(found, key=lambda entry: entry["name"].lower())


def _licence(metadata: PackageMetadata) -> str:
    for key in ("License-Expression", "License"):
        stated = metadata[key].strip() if key in metadata else ""
        # some packages put the whole licence text into the field: the classifier then names it better
        if stated and stated != "UNKNOWN" and "\n" not in stated:
            return stated
    classifiers = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    return "; ".join(c.rsplit(" :: ", 1)[-1] for c in classifiers) or "not stated"
