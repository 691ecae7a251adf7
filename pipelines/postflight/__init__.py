"""After the run: whether the adapter moved, the model learned to stop, what it forgot, whether it overfitted.

before = before_run(trainer, read_general_text(data.general_text))
trainer.train()
...                                     # the model is saved
examined = after_run(trainer, before)
run.finish(..., after_run=examined.to_json())
"""

from pipelines.postflight.examination import AfterRun, BeforeRun, after_run, before_run
from pipelines.postflight.forgetting import read_general_text

__all__ = ["AfterRun", "BeforeRun", "after_run", "before_run", "read_general_text"]
