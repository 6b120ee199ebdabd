"""Tokens that ``freqq compress-tokens`` stored, read by ``freqq eval``."""

import json

import pyarrow.parquet as pq
import pytest

from freqq.glm.reader import Reader
from freqq.runs.settings import Settings
from tests.cli.test_app import freqq
from tests.glm.conftest import save_model

QUICK = ("--limit", "2", "--max-new-tokens", "4")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages of the samples that QUICK draws, a folder each."""
    out = tmp_path_factory.mktemp("pages")
    assert freqq("render", "mini", "--limit", "2", "--out", str(out)).exit_code == 0
    return sorted({path.parent for path in out.rglob("*.png")})


def store(pages, model, out, *how):
    done = freqq("compress-tokens", *map(str, pages), "--model", model, "--out", str(out), *how)
    assert done.exit_code == 0, done.output
    return str(out)


def rows(path):
    return pq.read_table(path / "results.parquet").to_pylist()


def test_a_store_without_loss_is_the_vision_tower(pages, random_model, tmp_path, monkeypatch):
    folder = store(pages, random_model, tmp_path / "store", "--level", "baseline")
    arguments = ("--model", random_model, *QUICK, "--method", "token-prune", "--level", "mild")
    assert freqq("eval", *arguments, "--out", str(tmp_path / "seen")).exit_code == 0
    monkeypatch.setattr(Reader, "see_many", None)  # the tower must not run
    done = freqq("eval", *arguments, "--tokens-from", folder, "--out", str(tmp_path / "stored"))
    assert done.exit_code == 0, done.output
    seen, stored = rows(tmp_path / "seen"), rows(tmp_path / "stored")
    assert len(seen) == 4
    for one, other in zip(seen, stored, strict=True):
        assert one["error"] is other["error"] is None
        for name in ("sample_id", "response", "vision_tokens_full", "vision_tokens", "token_bytes_raw", "kv_bytes"):
            assert one[name] == other[name], name
        assert one["config_hash"] != other["config_hash"]
    plain = [r for r in stored if r["method"] == "baseline"]
    streams = sum(p.stat().st_size for p in (tmp_path / "store").glob("*.fqt"))
    assert sum(r["token_bytes"] for r in plain) == streams


def test_stored_cuts_are_read_as_they_are(pages, random_model, tmp_path):
    folder = store(pages, random_model, tmp_path / "store", "--method", "lowpass+quantize", "--keep", "0.5")
    arguments = ("--model", random_model, *QUICK, "--tokens-from", folder)
    done = freqq("eval", *arguments, "--level", "baseline", "--out", str(tmp_path / "run"), "--json")
    [plain] = json.loads(done.stdout)["groups"]
    assert plain["n_failed"] == 0
    assert (plain["method"], plain["level"]) == ("token-lowpass+quantize", "mild")
    assert json.loads(rows(tmp_path / "run")[0]["params"])["keep"] == 0.5
    assert 0.4 < plain["vision_tokens"] / plain["vision_tokens_full"] < 0.6
    done = freqq("eval", *arguments, "--out", str(tmp_path / "run"), "--level", "baseline", "--json")
    assert done.stderr.strip() == "all 2 answers were there already"
    assert json.loads(done.stdout)["groups"] == [plain]
    settings = Settings(model=random_model, limit=2, levels=("baseline",), tokens_from=folder)
    assert "_token-lowpass+quantize_mild_s0_" in settings.directory().name


@pytest.mark.parametrize("method", ["lowpass+quantize", "quantize"])
def test_no_method_starts_from_compressed_tokens(method, pages, random_model, tmp_path):
    folder = store(pages, random_model, tmp_path / "store", "--method", method)
    done = freqq("eval", "--model", random_model, *QUICK, "--tokens-from", folder, "--out", str(tmp_path / "again"))
    assert done.exit_code == 2
    assert "--level baseline" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "again").exists()


def test_pages_that_were_not_stored_cost_their_own_rows(pages, random_model, tmp_path):
    folder = store(pages, random_model, tmp_path / "store", "--level", "extreme")
    arguments = ("--model", random_model, "--max-new-tokens", "2", "--tokens-from", folder, "--level", "baseline")
    done = freqq("eval", *arguments, "--limit", "3", "--out", str(tmp_path / "run"))
    assert done.exit_code == 0, done.output
    errors = [r["error"] for r in rows(tmp_path / "run")]
    assert errors.count(None) == 2
    assert sum("has no tokens of the page" in (e or "") for e in errors) == 1
    assert done.stderr.startswith(f"{folder} lacks pages of 1 of these 3 samples")
    done = freqq("eval", *arguments, "--seed", "7", "--out", str(tmp_path / "other"))
    assert done.exit_code == 2
    assert "none of these" in done.stderr
    assert not (tmp_path / "other").exists()


def test_a_store_of_another_model_is_one_line(pages, random_model, tmp_path):
    folder = store(pages[:1], random_model, tmp_path / "store", "--level", "baseline")
    other = save_model("glm4v", tmp_path / "other", seed=1)
    for arguments, message in (
        (("--tokens-from", folder, "--model", str(other)), "compress the pages again with this model"),
        (("--tokens-from", folder, "--model", random_model, "--method", "image"), "leave out --tokens-from"),
        (("--tokens-from", str(tmp_path), "--model", random_model), "freqq compress-tokens wrote"),
    ):
        done = freqq("eval", *QUICK, *arguments, "--out", str(tmp_path / "run"))
        assert done.exit_code == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "run").exists()
