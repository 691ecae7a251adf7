"""After the run: whether the adapter moved, the model learned to stop, what it forgot, whether it overfitted."""

from pipelines.postflight.examination import Baseline, PostflightReport, measure_baseline, run_postflight
from pipelines.postflight.forgetting import read_general_text
