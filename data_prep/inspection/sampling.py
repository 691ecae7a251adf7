"""A seeded sample of a stream of unknown length, in memory of its own size."""

import random
from typing import Generic, TypeVar

T = TypeVar("T")


class Sample(Generic[T]):
    """At most `size` of the items added, each with the same chance. `name` and `seed` make the choice repeatable."""

    def __init__(self, size: int, seed: int, name: str = "") -> None:
        self._size, self._random = size, random.Random(f"{seed}\0{name}")
        self.n_added = 0
        self._items: list[tuple[int, T]] = []

    def add(self, item: T) -> None:
        """Offer an item."""
        if len(self._items) < self._size:
            self._items.append((self.n_added, item))
        else:
            place = self._random.randrange(self.n_added + 1)
            if place < self._size:
                self._items[place] = (self.n_added, item)
        self.n_added += 1

    def items(self) -> list[T]:
        """Return the sampled items in the order they were added."""
        return [item for _, item in sorted(self._items, key=lambda pair: pair[0])]
