import numpy as np

from data_prep.building.choosing import repeated_keys


def test_every_row_but_the_first_of_equal_keys_is_a_repetition():
    keys = np.frombuffer(b"".join(bytes([n] * 16) for n in (3, 1, 3, 2, 1, 3)), "V16")
    assert repeated_keys(keys).tolist() == [False, False, True, False, True, True]


def test_keys_that_differ_in_one_byte_are_not_equal():
    keys = np.frombuffer(bytes(16) + bytes(15) + b"\1" + b"\1" + bytes(15), "V16")
    assert not repeated_keys(keys).any()
    assert not repeated_keys(np.zeros(0, "V16")).any()
