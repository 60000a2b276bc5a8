"""Batches become columns: the same numbers, or an error that says which do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from recorder import ChannelError, SpaceError
from recorder.batches import as_column
from recorder.columns import Column


@pytest.mark.parametrize(
    ("dtype", "batch"),
    [
        ("int8", np.array([1.0, 0.0], np.float32)),  # bits as a policy draws them
        ("bool", np.array([1.0, 0.0], np.float32)),
        ("bool", np.array([1, 0])),
        ("uint8", np.array([0, 255])),
        ("int64", np.array([1, 2], np.uint8)),
        ("int64", np.array([1, 2], np.uint64)),
        ("int32", np.array([1, -2], ">i4")),
        ("float32", np.array([1, 2])),
        ("float32", np.array([0.5, np.nan])),
        ("float64", [0.5, -np.inf]),
    ],
)
def test_a_batch_of_another_dtype_is_taken_where_its_numbers_stay_what_they_are(dtype, batch):
    """What environments and policies hand around is often wider than its space."""
    column = as_column(Column("action", dtype), batch, 2)
    assert column.dtype == dtype
    assert np.array_equal(column, batch, equal_nan=True)


@pytest.mark.filterwarnings("error")
def test_what_is_too_large_for_a_narrower_float_is_infinite_in_it():
    """As it is where a step is recorded alone."""
    column = as_column(Column("observation", "float32"), np.array([1e300, 1e-300]), 2)
    assert column.tolist() == [np.inf, 0.0]


@pytest.mark.parametrize(
    ("dtype", "batch"),
    [
        ("uint8", np.array([300, 1])),
        ("uint8", np.array([-1, 1], np.int8)),
        ("int32", np.array([1 << 40, 1])),
        ("int64", np.array([1 << 63, 1], np.uint64)),
        ("int8", np.array([0.5, 1.0])),
        ("int8", np.array([np.nan, 1.0])),
        ("bool", np.array([2, 1])),
        ("float64", np.array([1, 2], object)),
        ("float64", np.array([1j, 2])),
        ("float64", np.zeros((2, 1))),
        ("float64", np.zeros(3)),
    ],
)
def test_a_batch_whose_numbers_would_become_others_is_refused(dtype, batch):
    """Nothing is cut to size unseen."""
    with pytest.raises(SpaceError, match=rf"expected 'action' as {dtype} of shape \(2,\)"):
        as_column(Column("action", dtype), batch, 2)
    with pytest.raises(ChannelError, match="declare the channel"):
        as_column(Column("value", dtype), batch, 2)
