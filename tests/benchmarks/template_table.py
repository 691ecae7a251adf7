"""The table of chat templates: what training makes of each family's, held against answers that were written by hand.

    python -m tests.benchmarks.template_table

prints one line for each family of `tests/modeling/template_families.py` (all that the installed TRL ships, and small
ones of our own that behave as further families do) with a verdict for each kind of conversation, and the reasons.
"""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.modeling.template_families import COLUMNS, FAMILIES, verdict


def main() -> None:
    """Print the table, the counts of each column and the reasons of what is refused."""
    counts: dict[str, Counter[str]] = {column: Counter() for column in COLUMNS}
    reasons: Counter[str] = Counter()
    print(f"{'family':26}" + "".join(f"{column:10}" for column in COLUMNS))
    for name in FAMILIES:
        with TemporaryDirectory() as folder:
            found = {column: verdict(name, column, Path(folder)) for column in COLUMNS}
        shown = {column: text.partition(":")[0] for column, text in found.items()}
        print(f"{name:26}" + "".join(f"{shown[column]:10}" for column in COLUMNS), flush=True)
        for column, text in shown.items():
            counts[column][text] += 1
        reasons.update(text[:90] for text in found.values() if text != "right")
    for kind in ("right", "refused"):
        print(f"{kind:26}" + "".join(f"{counts[column][kind]:<10}" for column in COLUMNS))
    wrong = sum(n for found in counts.values() for kind, n in found.items() if kind not in ("right", "refused"))
    print(f"wrong in any way: {wrong}")
    for reason, n in reasons.most_common():
        print(f"{n:4} {reason}")


if __name__ == "__main__":
    main()
