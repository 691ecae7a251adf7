"""How PEFT combines several adapters."""

from enum import StrEnum


class Combination(StrEnum):
    """A `combination_type` of PEFT's `add_weighted_adapter`.

    CAT is the exact weighted sum of the adapters, SVD its best approximation at the largest rank among them. LINEAR
    sums the A and the B matrices separately, which is not the sum of the adapters. The others prune first.
    """

    CAT = "cat"
    SVD = "svd"
    LINEAR = "linear"
    TIES = "ties"
    TIES_SVD = "ties_svd"
    DARE_LINEAR = "dare_linear"
    DARE_LINEAR_SVD = "dare_linear_svd"
    DARE_TIES = "dare_ties"
    DARE_TIES_SVD = "dare_ties_svd"
    MAGNITUDE_PRUNE = "magnitude_prune"
    MAGNITUDE_PRUNE_SVD = "magnitude_prune_svd"

    @property
    def prunes(self) -> bool:
        """Whether it keeps only a share of the numbers, the density."""
        return self not in (Combination.CAT, Combination.SVD, Combination.LINEAR)
