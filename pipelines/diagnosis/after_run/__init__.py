"""After the run: whether the adapter moved, the model learned to stop, what it forgot, whether it overfitted.

before = before_run(trainer, data.general_text)
trainer.train()
...                                     # the model is saved
examined = after_run(trainer, before)
run.finish(..., after_run=examined.to_json())
"""

from pipelines.diagnosis.after_run.examination import AfterRun, BeforeRun, after_run, before_run

__all__ = ["AfterRun", "BeforeRun", "after_run", "before_run"]
