"""The permutation test on means, in the form that tests use."""

import numpy as np
from numpy.typing import ArrayLike

from pipelines.evaluation.statistics.significance import permutation_test_of_sums


def paired_permutation_p_value(a: ArrayLike, b: ArrayLike, **options) -> float:
    first, second = (np.asarray(values, dtype=np.float64)[:, None] for values in (a, b))
    return permutation_test_of_sums(first, second, lambda sums: sums[0] / len(first), **options).p_value
