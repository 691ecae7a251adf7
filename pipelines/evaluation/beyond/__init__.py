"""Beyond the task: what was forgotten and what memorised, whether probabilities are calibrated, and the end learned."""

from pipelines.evaluation.beyond.measured import BeyondMeasured, beyond_details, beyond_series, measure_beyond
from pipelines.evaluation.beyond.plan import BeyondPlan

__all__ = ["BeyondMeasured", "BeyondPlan", "beyond_details", "beyond_series", "measure_beyond"]
