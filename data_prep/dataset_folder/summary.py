"""What a program prints when a dataset folder is made."""

from pathlib import Path

from data_prep.dataset_folder.schema import SPLITS, Manifest


def summary(manifest: Manifest, output: Path) -> str:
    """Rows for each split, rejects for each reason, and the path, one item on a line."""
    lines = [f"{output}: {sum(manifest['n_rows'].values()):,} rows of kind {manifest['kind']}"]
    for split in SPLITS:
        n_rows, n_groups = manifest["n_rows"][split], manifest["n_groups"][split]
        effective = f", {manifest['effective_groups'][split]:,.1f} effective" if n_rows and split != "train" else ""
        lines.append(f"  {split:<10} {n_rows:>8,} rows in {n_groups:,} groups{effective}")
    wanted = [split for split, size in manifest["split_sizes"].items() if size > 0 and not manifest["n_rows"][split]]
    if wanted:
        n_groups = sum(manifest["n_groups"].values())
        lines.append(f"  note: {' and '.join(wanted)} stayed empty, for there are too few groups ({n_groups}) to split")
    n_rejected = sum(manifest["n_rejected"].values())
    lines.append(f"  left out   {n_rejected:>8,} (each with its reason in {output / 'rejected.jsonl'})")
    lines += [f"    {reason:<26} {count:>8,}" for reason, count in manifest["n_rejected"].items()]
    if manifest["unread_columns"]:
        counts = ", ".join(f"{name} ({count:,} rows)" for name, count in manifest["unread_columns"].items())
        lines.append(f"  columns not kept: {counts}")
    return "\n".join(lines)
