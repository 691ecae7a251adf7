"""Pairs without a fault, of the kinds that people train on: the doctor must be silent about all of them.

Each module here has its own `CLEAN_PAIRS`.
"""

import importlib
import pkgutil

from tests.planted_faults.clean.clean_pair import CleanPair

_MODULES = [importlib.import_module(f"{__name__}.{one.name}") for one in pkgutil.iter_modules(__path__)]
CLEAN_PAIRS: tuple[CleanPair, ...] = tuple(pair for module in _MODULES for pair in getattr(module, "CLEAN_PAIRS", ()))
