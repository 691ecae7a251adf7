"""The table of chat templates: what training makes of each family's, held against answers that were written by hand.

    python -m tests.benchmarks.template_table

prints one line for each family of `tests/modeling/template_families.py` (all that the installed TRL ships, and small
ones of our own that behave as further families do) with a verdict for each kind of conversation, and the reasons.
With --engines: what the installed template engines of `doctor.py --engines` make of the same templates instead.
"""

import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.preflight.engines.comparison import ENGINES, first_difference, rendered_by
from pipelines.preflight.engines.prompts import other_prompts
from tests.modeling.template_families import COLUMNS, FAMILIES, tokenizer_of, verdict


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


def compare_engines() -> None:
    """Print for each engine how many prompts of all families are rendered as trained, and the reasons of the others."""
    prompts = {name: other_prompts(tokenizer_of(name)) for name in FAMILIES}
    for engine in ENGINES:
        if engine.version() is None:
            print(f"{engine.name}: not installed ({engine.how_to_install})")
            continue
        counts: Counter[str] = Counter()
        reasons: dict[str, list[str]] = {}
        for name, asked in prompts.items():
            for prompt, one in rendered_by(engine, asked):
                counts["equal" if one.text == prompt.trained else "refused" if one.text is None else "different"] += 1
                if one.text != prompt.trained:
                    text = one.error if one.text is None else first_difference(prompt.trained, one.text)
                    reasons.setdefault(text, []).append(f"{name}, {prompt.name}")
        print(f"{engine.name} ({engine.version()}): {dict(counts)}")
        for text, places in sorted(reasons.items(), key=lambda one: -len(one[1])):
            print(f"{len(places):4} {text} ({places[0]})")


if __name__ == "__main__":
    if "--engines" in sys.argv:
        compare_engines()
    else:
        main()
