"""A folder of streams that is read in place of running the vision tower."""

import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from freqq.coding.stream import CorruptStream
from freqq.errors import UserError
from freqq.tokens import compressor
from freqq.tokens.store import INDEX, TokenStore

GRIDS = {"page-a": torch.randn(4, 6, 8), "page-b": torch.randn(3, 5, 8)}
MADE = {"model": "m", "model_revision": "r1", "method": "token-lowpass+quantize", "level": "mild", "params": "{}"}
METHOD = compressor("token-lowpass+quantize").at("mild")


def rows_for(folder):
    rows = []
    for page, grid in GRIDS.items():
        stream = METHOD.encode(grid)
        (folder / f"{page}.fqt").write_bytes(stream)
        digest = hashlib.sha256(stream).hexdigest()
        rows.append({"page_hash": page, "file": f"{page}.fqt", "stream_sha256": digest, **MADE})
    return rows


def write(folder, rows):
    pq.write_table(pa.Table.from_pylist(rows), folder / INDEX)
    return TokenStore(folder)


@pytest.fixture
def rows(tmp_path):
    return rows_for(tmp_path)


def test_pages_come_back_by_their_hash(tmp_path, rows):
    store = write(tmp_path, rows)
    assert len(store) == 2
    for page, grid in GRIDS.items():
        found = store.page(page, grid.shape[0] * grid.shape[1])
        assert torch.equal(found.features, METHOD.compress(grid).features)
        assert found.payload == (tmp_path / f"{page}.fqt").read_bytes()


def test_the_revision_is_that_of_pages_and_streams(tmp_path, rows):
    before = write(tmp_path, rows).revision
    assert write(tmp_path, rows[::-1]).revision == before
    assert write(tmp_path, [*rows, rows[0]]).revision == before
    assert write(tmp_path, rows[:1]).revision != before
    assert write(tmp_path, [rows[0], rows[1] | {"stream_sha256": "0"}]).revision != before


def test_tokens_of_another_model_are_refused(tmp_path, rows):
    store = write(tmp_path, rows)
    store.check_model("whatever it is called", "r1")
    with pytest.raises(UserError, match="of m at r1, not of m at r2"):
        store.check_model("m", "r2")


def test_what_is_not_there_or_not_the_same_is_refused(tmp_path, rows):
    store = write(tmp_path, rows)
    with pytest.raises(UserError, match="no tokens of the page page-c"):
        store.page("page-c", 24)
    with pytest.raises(UserError, match="a grid of 4 x 6, but its page has 23 tokens"):
        store.page("page-a", 23)
    (tmp_path / "page-a.fqt").write_bytes((tmp_path / "page-b.fqt").read_bytes())
    with pytest.raises(UserError, match="not the stream"):
        store.page("page-a", 24)
    (tmp_path / "page-a.fqt").unlink()
    with pytest.raises(UserError, match="cannot read"):
        store.page("page-a", 24)


def test_a_stream_that_never_was_one_is_refused(tmp_path, rows):
    (tmp_path / "page-a.fqt").write_bytes(b"nonsense")
    digest = hashlib.sha256(b"nonsense").hexdigest()
    with pytest.raises(CorruptStream):
        write(tmp_path, [rows[0] | {"stream_sha256": digest}]).page("page-a", 24)


def test_an_index_cannot_lead_out_of_its_folder(tmp_path, rows):
    inside = tmp_path / "store"
    inside.mkdir()
    with pytest.raises(UserError, match="cannot read"):
        write(inside, [rows[0] | {"file": "../page-a.fqt"}]).page("page-a", 24)


def test_a_folder_that_is_no_store_is_refused(tmp_path, rows):
    with pytest.raises(UserError, match="freqq compress-tokens"):
        TokenStore(tmp_path / "nowhere")
    (tmp_path / INDEX).write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="cannot be read"):
        TokenStore(tmp_path)
    with pytest.raises(UserError, match="cannot be read"):
        write(tmp_path, [{"page_hash": "x"}])
    with pytest.raises(UserError, match="two streams for one page"):
        write(tmp_path, [rows[0], rows[1] | {"page_hash": "page-a"}])
