"""After the run: whether the adapter moved, the model learned to stop, what it forgot, whether it overfitted."""

from pipelines.postflight.forgetting import read_general_text
from pipelines.postflight.run_postflight import Baseline, PostflightReport, measure_baseline, run_postflight

__all__ = ["Baseline", "PostflightReport", "measure_baseline", "read_general_text", "run_postflight"]
