"""Build a corpus with datatrove: on this machine, a Ray cluster or Slurm (extra `scale`).

datatrove runs the tasks, its quality filters and its MinHash. Reading, row steps, splits and the dataset folder are
those of every other build, so that each document left out has a reason.
"""

from data_prep.scaling.executors import Executor, ExecutorOptions
from data_prep.scaling.flags import add_executor_flags, executor_options
