"""What the model was made from: splits, rejects and sources of the dataset folder, and the licence of each work."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.hub.local_paths import without_local_paths
from pipelines.report.model_card.card_records import CardRecords
from pipelines.report.model_card.identity import Identity
from pipelines.report.model_card.license_rules import Work
from pipelines.report.tables import Table, table_of

MAX_SOURCES = 20


def works_of(records: CardRecords, identity: Identity) -> list[Work]:
    """The base, the adapter that was gone on from, and the sources of the training rows; the licences are the lock's,
    None where there is none."""
    lock = records.lock or {}
    base, adapter = lock.get("base") or {}, lock.get("adapter") or {}
    found = [Work(f"base {identity.base}", base.get("license"))] if identity.base else []
    if identity.adapter:
        found.append(Work(f"adapter {identity.adapter}", adapter.get("license")))
    trained_on = [one for one in lock.get("datasets") or () if one.get("split") == "train"]
    return list(dict.fromkeys([*found, *(_works(trained_on[0]) if trained_on else [Work(identity.dataset, None)])]))


def _works(dataset: Mapping[str, Any]) -> list[Work]:
    stated = [
        Work(str(without_local_paths(str(one["source"]))), one["license"]) for one in dataset.get("licenses") or ()
    ]
    return stated or [Work(str(without_local_paths(str(dataset.get("path")))), None)]


def license_table(works: list[Work]) -> Table:
    """Each work with its licence as its card states it; many works under one licence share a row."""
    by_license: dict[str, list[str]] = {}
    for work in works:
        by_license.setdefault(work.license or "not on record", []).append(work.name)
    return table_of("Licences", ("Licence", "Works"), [(one, _named(some)) for one, some in by_license.items()], 2)


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
        known_by = f"revision {revision}" if revision else f"sha256 {sha256}" if sha256 else "no hash on record"
        n_rows = source.get("n_rows")
        rows = f", {n_rows:,} rows" if isinstance(n_rows, int) else ""
        yield f"{without_local_paths(str(source.get('name') or source.get('path')))}, {known_by}{rows}"
