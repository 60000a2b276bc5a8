"""Values without a fixed size, as bytes: exact, without pickle, and safe to read."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from recorder_kit import same

from recorder import DamagedTape, SpaceError
from recorder.packing import pack, unpack
from recorder.stream import packed_info

DTYPES = st.sampled_from(
    ["bool", "int8", "uint8", "int16", "uint32", "int64", "uint64", "float16", "float32",
     "float64", "complex64"]
)  # fmt: skip
ARRAYS = DTYPES.flatmap(
    lambda dtype: st_numpy.arrays(
        dtype, st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    )
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=20),
    ARRAYS,
    ARRAYS.filter(lambda array: array.size).map(lambda array: array.reshape(-1)[0]),
)
KEYS = st.one_of(st.text(max_size=5), st.integers(-(2**63), 2**64 - 1))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
    ),
    max_leaves=12,
)


def alike(a, b) -> bool:
    """Equal to the last bit, and of the same kinds of containers."""
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(alike(a[k], b[k]) for k in a)
    if isinstance(a, (np.ndarray, np.generic)):
        return type(a) is type(b) and same(a, b)
    if isinstance(a, float):
        return isinstance(b, float) and same(a, b)
    return type(a) is type(b) and a == b


@given(VALUES)
def test_what_is_packed_is_unpacked_the_same(value):
    """Tuples stay tuples, arrays keep dtype and shape, integers may be of any size."""
    assert alike(value, unpack(pack(value)))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.str_("état"), "état"),
        (np.bytes_(b"a"), b"a"),
        ({np.str_("a"): 1}, {"a": 1}),
        ({frozenset({1}): 2}, {(1,): 2}),
        (10**4000 + 7, 10**4000 + 7),
        (-(10**401) - 3, -(10**401) - 3),
    ],
)
def test_what_has_no_form_of_its_own_is_unpacked_as_what_it_comes_closest_to(value, told):
    """Text of numpy as text, a set that is a key as what can be one, all digits of a number."""
    assert alike(told, unpack(pack(value)))


def test_an_unpacked_array_is_its_own_and_can_be_written():
    """Not a view into the tape's bytes."""
    array = unpack(pack(np.arange(3)))
    array[0] = 7
    assert array.tolist() == [7, 1, 2]


@pytest.mark.parametrize(
    "value",
    [
        object(), {"a": object()}, [lambda: 0], 1j, {(1, 2): 3, "f": print},
        np.datetime64("2020-01-01"), np.zeros(1, [("a", "i4")])[0],
    ],
)  # fmt: skip
def test_what_is_no_plain_data_is_refused_with_its_type(value):
    """Nothing is pickled, so nothing is executed on reading."""
    with pytest.raises(SpaceError, match="plain data"):
        pack(value)


def test_a_number_of_more_digits_than_python_reads_is_refused():
    """Half of it would be another number."""
    for number in (10**4300, -(10**4300), 10**5000):
        with pytest.raises(SpaceError, match="digits"):
            pack(number)


def test_a_value_that_holds_itself_is_refused():
    """It would never end."""
    value: list = []
    value.append(value)
    with pytest.raises(SpaceError, match="expected numbers"):
        pack(value)


@given(st.binary(max_size=60))
@settings(max_examples=300)
def test_bytes_that_were_never_packed_give_a_value_or_damaged_tape(data):
    """No other exception, whatever a foreign file holds."""
    try:
        unpack(data)
    except DamagedTape:
        pass


@given(VALUES, st.data())
@settings(max_examples=200)
def test_packed_bytes_cut_short_or_changed_give_a_value_or_damaged_tape(value, data):
    """The same for bytes that are nearly right."""
    packed = bytearray(pack(value))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(packed), bytes(packed[:at])):
        try:
            unpack(damaged)
        except DamagedTape:
            pass


@pytest.mark.parametrize(
    "extension",
    [
        msgpack.ExtType(1, msgpack.packb(["|O", [1], b"12345678"])),
        msgpack.ExtType(1, msgpack.packb(["<f8", [-1, 3], b"12345678"])),
        msgpack.ExtType(1, msgpack.packb(["<f8", [1 << 62], b""])),
        msgpack.ExtType(1, msgpack.packb(["<V0", [1 << 40], b""])),
        msgpack.ExtType(2, msgpack.packb(["<f8", b""])),
        msgpack.ExtType(2, msgpack.packb(["M8[s]", b"12345678"])),
        msgpack.ExtType(4, b"x"),
        msgpack.ExtType(4, b"1" * 4301),
        msgpack.ExtType(99, b""),
    ],
)
def test_an_extension_that_lies_about_itself_is_damage(extension):
    """Objects, huge or negative shapes, missing bytes, unknown kinds."""
    with pytest.raises(DamagedTape):
        unpack(msgpack.packb(extension))


def test_nesting_without_end_is_damage():
    """It must not exhaust the interpreter's stack."""
    marked = b"\x92" + msgpack.packb(msgpack.ExtType(3, b""))  # a tuple of one
    for level in (b"\x91", b"\x81\xc0", marked):
        with pytest.raises(DamagedTape):
            unpack(level * 100_000 + b"\xc0")


def test_what_can_be_packed_can_be_unpacked_however_deep():
    """A value nested too deep for one is refused by the other."""
    for wrap in (lambda value: (value,), lambda value: [value], lambda value: {"a": (value,)}):
        value, depth = 1, 0
        while depth < 2000:
            try:
                packed = pack(value)
            except SpaceError:
                break
            assert pack(unpack(packed)) == packed
            value, depth = wrap(value), depth + 1
        assert 100 < depth < 2000


def test_a_graph_that_lacks_a_part_is_damage():
    """Three parts make a graph."""
    mark = msgpack.ExtType(5, b"")
    with pytest.raises(DamagedTape):
        unpack(msgpack.packb([mark, 1, 2]))


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (np.array(["ab", "c"]), ["ab", "c"]),
        (np.array([1, "x", None], object), [1, "x", None]),
        (np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")]), [(1, 2.5)]),
        (np.array(["2020-01-01"], "datetime64[D]"), "array(['2020-01-01'], dtype='datetime64[D]')"),
        (np.array([1], "datetime64[ns]"), [1]),
        (np.ma.array([1, 2, 3], mask=[0, 1, 0]), np.array([1, 2, 3])),
        ({1}, [1]),
        (frozenset({1}), (1,)),
        (bytearray(b"x"), b"x"),
        (range(3), "range(0, 3)"),
    ],
)
def test_what_an_info_dict_holds_takes_the_form_that_the_docs_tell(value, form):
    """`docs/recording.md`, What infos become."""
    (came,) = unpack(packed_info({"key": value})).values()
    assert same(came, form)
    assert type(came) is type(form)
