"""Batches of a space's values, as vector environments hand them around, taken apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces

from recorder.columns import Column
from recorder.describe import describe
from recorder.errors import SpaceError
from recorder.packing import pack
from recorder.spaces import Description, flattener
from recorder.values import misfit

Array = np.ndarray[Any, Any]


class Splitter:
    """Takes batches of one space apart.

    Gymnasium batches a Dict as a Dict of batches, a Tuple as a Tuple of batches, numbers as
    an array with one more dimension in front, and what has no fixed size as a tuple: a
    leaf's batch is a look-up. A vector environment may also batch any space as a Tuple of
    its values.

    Args:
        description: of the single space.
        num_envs: values in a batch.
        batched: the batch's space; as Gymnasium makes it where None.

    Raises:
        SpaceError: the batch's space is neither.
    """

    def __init__(
        self,
        description: Description,
        num_envs: int,
        batched: gym_spaces.Space[Any] | None = None,
    ) -> None:
        self._description = description
        self._flatten = flattener(description)
        self._by_value = False
        if batched is not None and not _is_usual(description, num_envs, batched):
            self._by_value = (
                isinstance(batched, gym_spaces.Tuple)
                and [describe(space) for space in batched.spaces] == [description] * num_envs
            )
            if not self._by_value:
                raise SpaceError(
                    f"expected batches of {num_envs} as Gymnasium's batch_space makes them, or a "
                    f"Tuple of {num_envs} values, got {batched}; record its environments one by one"
                )

    @property
    def is_flat(self) -> bool:
        """Whether a batch is its own only leaf."""
        return self._flatten is None

    def leaves(self, batch: Any) -> Sequence[Any]:
        """Return a batch for each leaf of the space, values in the first dimension."""
        if self._flatten is None:
            return (batch,)
        if self._by_value:
            return list(zip(*map(self._flatten, batch), strict=True))
        return self._flatten(batch)

    def item(self, batch: Any, index: int) -> Any:
        """Return one value of the batch."""
        return batch[index] if self._by_value else _pick(self._description, batch, index)


def as_column(column: Column, given: Any, count: int) -> Any:
    """Return a leaf's batch of `count` as rows of its column: an array of its dtype, or a list
    of bytes.

    Raises:
        ChannelError: a channel's batch is not of its form.
        SpaceError: one of observations or actions is not.
    """
    if column.packed:
        return [pack(value) for value in given]
    batch: Array = given if given.__class__ is np.ndarray else np.asarray(given)
    dtype = _dtype(column.dtype)
    rows = batch if batch.dtype == dtype else _converted(batch, dtype)
    shape = (count, *column.shape)
    if rows is None or rows.shape != shape:
        raise misfit(Column(column.name, column.dtype, shape), given)
    return rows


_dtype = cache(np.dtype)  # of a name, which numpy would read each time


def _converted(batch: Array, dtype: np.dtype[Any]) -> Array | None:
    """A batch as a column's dtype: of a step alone `as_array` says what becomes what. None
    where a number would become another: policies draw bits as floats, which are 0.0 and 1.0.
    """
    if batch.dtype.kind not in "biuf":
        return None
    if np.can_cast(batch.dtype, dtype):
        return batch.astype(dtype)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        converted = batch.astype(dtype)
    return converted if dtype.kind == "f" or np.array_equal(converted, batch) else None


def _pick(description: Description, batch: Any, index: int) -> Any:
    if description["type"] == "Dict":
        spaces = description["spaces"].items()
        return {key: _pick(inner, batch[key], index) for key, inner in spaces}
    if description["type"] == "Tuple":
        return tuple(
            _pick(inner, part, index)
            for inner, part in zip(description["spaces"], batch, strict=True)
        )
    return batch[index]


def _is_usual(description: Description, num_envs: int, batched: gym_spaces.Space[Any]) -> bool:
    kind = description["type"]
    if kind == "Dict":
        return isinstance(batched, gym_spaces.Dict) and all(
            key in batched.spaces and _is_usual(inner, num_envs, batched.spaces[key])
            for key, inner in description["spaces"].items()
        )
    if kind == "Tuple":
        inner = description["spaces"]
        return (
            isinstance(batched, gym_spaces.Tuple)
            and len(batched.spaces) == len(inner)
            and all(_is_usual(d, num_envs, s) for d, s in zip(inner, batched.spaces, strict=True))
        )
    if kind in ("Text", "Sequence", "Graph", "OneOf"):
        return isinstance(batched, gym_spaces.Tuple) and len(batched.spaces) == num_envs
    shape = () if kind == "Discrete" else tuple(description["shape"])
    return batched.shape == (num_envs, *shape)


def infos_of(infos: Any, num_envs: int) -> list[dict[str, Any]]:
    """Return the info dict of each environment.

    Args:
        infos: as a vector environment returns them: a dict of arrays, each with a mask
            `_<key>` that says whose keys they are; or a list of dicts, taken as it is.
        num_envs: how many environments.
    """
    if not isinstance(infos, Mapping):
        return list(infos)
    return [info_of(infos, env, num_envs) for env in range(num_envs)]


def info_of(infos: Mapping[str, Any], env: int, num_envs: int) -> dict[str, Any]:
    """Return one environment's info dict; see `infos_of`."""
    result = {}
    for key, value in infos.items():
        if key[:1] == "_" and key[1:] in infos:
            continue
        mask = infos.get(f"_{key}")
        if mask is not None and not mask[env]:
            continue
        if isinstance(value, Mapping):
            value = info_of(value, env, num_envs)
        elif isinstance(value, (np.ndarray, list, tuple)) and len(value) == num_envs:
            value = value[env]
            if isinstance(value, np.generic):
                value = value.item()
        result[key] = value
    return result
