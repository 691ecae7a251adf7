"""Memory and time that a run will need, computed before it starts."""

from pipelines.preflight.forecast.memory import MemoryForecast, memory_forecast
from pipelines.preflight.forecast.model_shape import ModelShape, model_shape
from pipelines.preflight.forecast.time import seconds_per_million_tokens
from pipelines.preflight.forecast.training_load import Method, TrainingLoad, training_load
