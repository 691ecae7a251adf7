"""What the model was made from: splits, rejects and sources of the dataset folder, and the license of each work."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.hub.local_paths import without_local_paths
from pipelines.report.model_card.card_records import CardRecords
from pipelines.report.model_card.identity import Identity
from pipelines.report.model_card.licenses import Work
from pipelines.report.tables import Table, table_of

MAX_SOURCES = 20


def works_of(records: CardRecords, identity: Identity) -> list[Work]:
    """The base and the sources of the training rows, also those of the adapters that the run continues; the licenses
    are the locks', None where there is none."""
    base = (records.lock or {}).get("base") or {}
    found = [Work(f"base {identity.base}", base.get("license"))] if identity.base else []
    found += _works(records.lock, records.manifest) or [Work(identity.dataset, None)]
    for name, lock in records.before:
        found += _works(lock, None) or [Work(f"adapter {without_local_paths(name)}", None)]
    return list(dict.fromkeys(found))


def _works(lock: Mapping[str, Any] | None, manifest: Mapping[str, Any] | None) -> list[Work]:
    """What the lock's run was trained on: the sources with a license, then those of which nothing is known."""
    works = []
    for train in (one for one in (lock or {}).get("datasets") or () if one.get("split") == "train"):
        stated = {str(one["source"]): str(one["license"]) for one in train.get("licenses") or ()}
        works += [Work(without_local_paths(name), license) for name, license in stated.items()]
        works += [Work(f"dataset {without_local_paths(name)}", None) for name in _unstated(train, stated, manifest)]
    return works


def _unstated(
    dataset: Mapping[str, Any], stated: Mapping[str, str], manifest: Mapping[str, Any] | None
) -> Iterator[str]:
    """The entries of a mixture, or the sources and packages of a dataset folder, that have no license of their own and
    lie in nothing that has one. Without a manifest the licenses that a folder's sources have count for all of it."""
    if parts := dataset.get("parts"):
        yield from (str(part["path"]) for part in parts if part["path"] not in stated)
    elif not stated:
        yield str(dataset.get("path"))
    elif dataset.get("path") not in stated:
        for source in (manifest or {}).get("sources") or ():
            packages = [f"{one['name']} {one['version']}" for one in source.get("distributions") or ()]
            if source.get("name") not in stated:
                yield from (name for name in packages or [str(source.get("name"))] if name not in stated)


def license_table(works: list[Work]) -> Table:
    """Each work with its license as its card states it; many works under one license share a row."""
    by_license: dict[str, list[str]] = {}
    for work in works:
        by_license.setdefault(work.license or "not recorded", []).append(work.name)
    return table_of("Licenses", ("License", "Works"), [(one, _named(some)) for one, some in by_license.items()], 2)


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MAX_SOURCES:,} more" if len(names) > MAX_SOURCES else ""
    return ", ".join(names[:MAX_SOURCES]) + more


def split_table(manifest: Mapping[str, Any]) -> Table:
    """Rows and groups of each split."""
    groups = manifest.get("n_groups") or {}
    rows = [(split, f"{n:,}", f"{groups.get(split, 0):,}") for split, n in manifest["n_rows"].items()]
    return table_of("Splits", ("Split", "Rows", "Groups"), rows)


def reject_table(manifest: Mapping[str, Any]) -> Table | None:
    """Rows that were left out, by reason."""
    rejected = manifest.get("n_rejected") or {}
    rows = [(str(reason).replace("_", " "), f"{n:,}") for reason, n in rejected.items()]
    return table_of("Left out", ("Reason", "Rows"), rows) if rows else None


def source_lines(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Each source with the commit or the hash that it is known by."""
    for source in manifest.get("sources") or ():
        revision, sha256 = source.get("revision"), source.get("sha256")
        known_by = f"revision {revision}" if revision else f"sha256 {sha256}" if sha256 else "no hash recorded"
        n_rows = source.get("n_rows")
        rows = f", {n_rows:,} rows" if isinstance(n_rows, int) else ""
        yield f"{without_local_paths(str(source.get('name') or source.get('path')))}, {known_by}{rows}"
