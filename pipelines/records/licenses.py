"""License and commit of a model or dataset, from its card: the README.md of a folder or on the Hub."""

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Card:
    """The commit of the card (None for a folder), and the license by the Hub's name."""

    revision: str | None
    license: str | None


def card_of(name_or_path: str, revision: str | None = None, *, repo_type: str = "model") -> Card:
    """The card of a folder, a file (which has none) or a repository of the Hub, from the cache without network."""
    place = Path(name_or_path)
    if place.exists():
        return Card(None, _license_in(place / "README.md"))
    from huggingface_hub import hf_hub_download  # 0.2 s that the first error of a recipe need not wait for
    from huggingface_hub.utils import httpx

    try:
        readme = Path(hf_hub_download(name_or_path, "README.md", repo_type=repo_type, revision=revision))
    except (OSError, ValueError, httpx.HTTPError):
        return Card(None, None)
    return Card(readme.parent.name, _license_in(readme))  # the cache files it as snapshots/COMMIT/README.md


def _license_in(readme: Path) -> str | None:
    if not readme.is_file():
        return None
    from huggingface_hub import metadata_load

    try:
        metadata = metadata_load(readme) or {}
    except (ValueError, yaml.YAMLError):  # a card of somebody else's, and no reason to stop
        return None
    named = metadata.get("license")
    if named == "other":
        named = metadata.get("license_name") or named
    return ", ".join(map(str, named)) if isinstance(named, list) else named and str(named)
