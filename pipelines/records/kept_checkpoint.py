"""`best_checkpoint` of run.json in words: which checkpoint was kept, by what, and how sure the choice is."""

from collections.abc import Mapping
from typing import Any


def kept_lines(best: Mapping[str, Any]) -> list[str]:
    """What was kept, how it compares with the others, and what its value is worth."""
    line = f"kept {best['checkpoint']}, the best of {best['n_evaluations']} evaluations by {best['metric']}"
    line += f" ({best['value']:.4g})"
    if best["stopped_early_at"]:
        line += f"; stopped at step {best['stopped_early_at']}, {best['patience']} evaluations without a better one"
    if len({one["value"] for one in best["evaluations"]}) == 1 < best["n_evaluations"]:
        line += "; every evaluation has this value, so the first was kept and nothing was chosen"
    others = [one["minus_best"] for one in best["evaluations"] if one.get("minus_best")]
    if others:
        near = sum(one["ci95"][0] <= 0 <= one["ci95"][1] for one in others)
        line += f"; on {best['held_out_rows']['n']} held-out rows, {near} of the {len(others)} others differ from it"
        line += " by no more than chance"
    return [line, "it was chosen on the held-out rows, so its value there is optimistic: compare it on the test split"]
