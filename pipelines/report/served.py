"""served.json in a line: which engine served the model, and whether it answered as the trained model does."""

from collections.abc import Mapping
from typing import Any

from pipelines.files.visible_text import visible


def served_line(record: Mapping[str, Any]) -> str:
    """Return the sentence of report and card, without its full stop."""
    figures = [f"{check['name']} {check['n_equal']} of {check['n']} equal" for check in record["checks"]]
    if found := record.get("divergence"):
        interval = " [{:.1e} to {:.1e}]".format(*found["kl_ci95"]) if found.get("kl_ci95") else ""
        figures.append(f"KL {found['kl_mean']:.1e}{interval} nats a token")
    causes = [finding["cause"] for finding in record["findings"] if not finding["note"]]
    verdict = f"Not served as measured ({', '.join(causes)})" if causes else "Served as measured"
    return visible(f"{verdict}: {', '.join([record['engine'], *figures])}")
