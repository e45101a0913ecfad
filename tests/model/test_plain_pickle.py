import contextlib
import io
import os
import pickle
import warnings
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from midigpt.model.plain_pickle import StorageRecord, TensorRecord, read_plain
from midigpt.model.torchscript import DAMAGE

scalars = (
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats(allow_nan=False)
) | st.text()
plain = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner) | st.lists(inner, max_size=5).map(tuple) | st.dictionaries(st.text(), inner)
    ),
    max_leaves=20,
)


def saved(data):
    """The pickle in a file of torch.save."""
    file = io.BytesIO()
    torch.save(data, file)
    with zipfile.ZipFile(file) as archive:
        return archive.read("archive/data.pkl")


@settings(deadline=None)
@given(plain)
def test_plain_data_is_read_as_it_was_written(data):
    assert read_plain(pickle.dumps(data, protocol=2)) == data


def test_tensors_become_records():
    tensor = torch.arange(12.0).view(3, 4)
    float_storage = StorageRecord("torch FloatStorage", "0")
    assert read_plain(saved({"weight": tensor, "column": tensor[:, 1], "steps": 7})) == {
        "weight": TensorRecord(float_storage, 0, (3, 4), (4, 1)),
        "column": TensorRecord(float_storage, 1, (3,), (4,)),
        "steps": 7,
    }
    half = read_plain(saved([tensor.half()]))
    assert half[0].storage == StorageRecord("torch HalfStorage", "0")


class Module:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


def test_objects_become_dictionaries_of_their_attributes():
    attention = Module(n_head=4)
    pickled = pickle.dumps([attention, Module(first=attention)], protocol=2)
    assert read_plain(pickled) == [{"n_head": 4}, {"first": {"n_head": 4}}]


def test_keys_other_than_text_are_left_out():
    nested = ()
    for _ in range(200):
        nested = (nested, nested)  # to hash this one takes forever
    assert read_plain(pickle.dumps({1: 2, "a": 3}, protocol=2)) == {"a": 3}
    keys = pickle.dumps(nested, protocol=2)
    assert read_plain(b"\x80\x02}" + keys[2:-1] + b"Ns.") == {}


class Executed:
    """Makes a folder if unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("protocol", range(6))
def test_calls_are_not_made(tmp_path, protocol):
    trace = tmp_path / "executed"
    with contextlib.suppress(LookupError):
        assert read_plain(pickle.dumps([Executed(trace)], protocol=protocol)) == [{}]
    assert not trace.exists()


@pytest.mark.parametrize(
    "pickled",
    [
        b"",
        b".",
        b"garbage",
        b"\x80\x02}",
        b"\x80\x02(",
        b"\x80\x02a.",
        b"\x80\x02q\x00.",
        b"\x80\x02h\x07.",
        b"\x80\x02)Q.",
        b"\x80\x02(]]]]tQ.",
        b"\x80\x02)}b.",
        b"cos\nsystem\n(S'echo'\ntR.",
        b"\x80\x02\x82\x01.",
    ],
)
def test_what_is_not_plain(pickled):
    with pytest.raises(DAMAGE):
        read_plain(pickled)


@settings(deadline=None)
@given(st.data())
def test_no_damage_leads_to_another_error(data):
    pickled = bytearray(saved({"weight": torch.ones(3), "config": [1, None, 2.5, (True, "x")]}))
    for _ in range(data.draw(st.integers(1, 4))):
        pickled[data.draw(st.integers(0, len(pickled) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(*DAMAGE), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # escapes in old-fashioned texts
        read_plain(bytes(pickled))
