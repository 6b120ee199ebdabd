"""Tensors as text: nothing but a plain tensor is read, and nothing is executed."""

import base64
import io
import pickle
import zipfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freqq.errors import UserError
from freqq.serve.tensors import pack, unpack

TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32)


def saved(value: object, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def rewritten(content: bytes, changes: dict[str, bytes | None], compression: int = zipfile.ZIP_STORED) -> str:
    """An archive with some of its entries replaced, or (None) left out."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", compression) as new:
        for name in old.namelist():
            value = changes.get(name, old.read(name))
            if value is not None:
                new.writestr(name, value)
    return base64.b64encode(file.getvalue()).decode()


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


@given(st.lists(st.integers(1, 300), min_size=1, max_size=3), st.sampled_from(TYPES), st.integers(0, 2**31))
def test_what_is_packed_is_what_is_read_here_and_by_vllm(shape, dtype, seed):
    shape = [min(size, 3) for size in shape[:-1]] + shape[-1:]
    tensor = (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 1000).to(dtype)
    packed = pack(tensor)
    for found in (unpack(packed), torch.load(io.BytesIO(base64.b64decode(packed)), weights_only=True)):
        assert found.dtype == dtype
        assert torch.equal(found, tensor)


def test_a_view_carries_its_own_elements_alone():
    tensor = torch.randn(1000, 64)
    assert len(pack(tensor[10:12])) < 3000
    assert torch.equal(unpack(pack(tensor[10:12].T)), tensor[10:12].T)


class Evil:
    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_in_a_file_is_executed(tmp_path):
    victim = tmp_path / "written"
    evil = pickle.dumps(Evil(victim), protocol=2)
    pickle.loads(evil).close()
    assert victim.exists()  # it does work
    victim.unlink()
    for content in (text(saved(Evil(victim))), rewritten(saved(torch.ones(3)), {"archive/data.pkl": evil})):
        with pytest.raises(UserError, match=r"one tensor, as torch\.save"):
            unpack(content)
    assert not victim.exists()


SHAPE = saved(torch.arange(6))
DATA = zipfile.ZipFile(io.BytesIO(SHAPE)).read("archive/data.pkl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("?", "base64"),
        (text(b"PK nothing"), "torch.save"),
        (text(pickle.dumps([1])), "torch.save"),
        (text(saved([torch.ones(2)])), "plain tensor"),
        (text(saved({"a": torch.ones(2)})), "plain tensor"),
        (text(saved(torch.nn.Parameter(torch.ones(2)))), "plain tensor"),
        (text(saved(torch.eye(3).to_sparse())), "plain tensor"),
        (text(saved(torch.ones(2, dtype=torch.complex64))), "plain tensor of float32"),
        (text(saved(torch.ones(2, dtype=torch.float64))), "plain tensor of float32"),
        (text(saved(torch.tensor(1.0))), "one to 3 dimensions"),
        (text(saved(torch.ones(0, 3))), "empty"),
        (text(saved(torch.ones(1, 1, 1, 2))), "one to 3 dimensions"),
        (text(saved(torch.ones(3, 4).T)), "not contiguous"),
        (text(saved(torch.ones(4)[1:3])), "not contiguous, or not all"),
        (text(saved(torch.arange(6), zipped=False)), "one tensor"),
        (text(saved(torch.arange(6), zipped=False) + SHAPE), "not the file of one tensor"),
        (rewritten(SHAPE, {"archive/byteorder": b"big"}), "big-endian"),
        (rewritten(SHAPE, {}, zipfile.ZIP_DEFLATED), "compressed"),
        (rewritten(SHAPE, {"archive/data/0": b"1234"}), "one tensor|storage"),
        (rewritten(SHAPE, {"archive/data/0": None}), "one tensor"),
        (rewritten(SHAPE, {"archive/data.pkl": None}), "not the file of one tensor"),
        (rewritten(SHAPE, {"archive/data.pkl": b"\x80\x02N" + b"0" * 2000}), "not the file of one tensor"),
        (rewritten(SHAPE, {"archive/data.pkl": DATA.replace(b"K\x06", b"J\xff\xff\xff\x7f")}), "one tensor"),
    ],
)
def test_anything_else_is_refused(content, message):
    with pytest.raises(UserError, match=message):
        unpack(content)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [["archive/data.pkl"] * 2, [f"archive/{i}" for i in range(20)]])
def test_many_and_doubled_entries_are_refused(names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, DATA)
    with pytest.raises(UserError, match="many, doubled"):
        unpack(text(file.getvalue()))


@given(st.data())
def test_a_damaged_file_is_a_tensor_or_refused(data):
    content = bytearray(saved(torch.arange(12).reshape(3, 4)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    try:
        found = unpack(text(bytes(content[:cut] if data.draw(st.booleans()) else content)))
    except UserError:
        return
    assert found.numel() == 12 or found.dtype == torch.int32
