"""Diagnosis: what a run will need, told before it starts."""

from pipelines.diagnosis.memory_forecast import MemoryForecast, memory_forecast
from pipelines.diagnosis.model_shape import ModelShape, model_shape
from pipelines.diagnosis.time_forecast import seconds_per_million_tokens
from pipelines.diagnosis.training_load import Method, TrainingLoad, training_load

__all__ = [
    "MemoryForecast",
    "Method",
    "ModelShape",
    "TrainingLoad",
    "memory_forecast",
    "model_shape",
    "seconds_per_million_tokens",
    "training_load",
]
