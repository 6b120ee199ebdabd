"""Loading from a hub that answers: a small HTTP server that speaks as much of the hub's protocol as loading needs."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.glm.conftest import save_model
from tests.glm.test_load import change_config, load_elsewhere

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"


class Hub(ThreadingHTTPServer):
    """Serves folders as models, each with one commit, which is also ``main``; remembers what was fetched."""

    def __init__(self, models: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.models = models
        self.fetched: list[str] = []


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = self.path.split("?")[0].strip("/")
        name = "/".join(path.removeprefix("api/models/").split("/")[:2])
        folder = self.server.models.get(name)
        if folder is None:
            return self.reply(404, b"", {"X-Error-Code": "RepoNotFound"})
        rest = path.removeprefix("api/models/").removeprefix(name).strip("/").split("/")
        revision = rest[1] if len(rest) > 1 else "main"
        if revision not in ("main", COMMIT):
            return self.reply(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if rest[0] == "tree":
            entries = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": "0"} for f in folder.iterdir()]
            return self.reply(200, json.dumps(entries).encode())
        if path.startswith("api/"):
            files = [{"rfilename": file.name} for file in folder.iterdir()]
            return self.reply(200, json.dumps({"id": name, "sha": COMMIT, "siblings": files}).encode())
        file = folder / rest[2]
        if not file.is_file():
            return self.reply(404, b"", {"X-Error-Code": "EntryNotFound"})
        data = file.read_bytes()
        if self.command == "GET":
            self.server.fetched.append(file.name)
        return self.reply(200, data, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT})

    do_HEAD = do_GET

    def reply(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, format: str, *values: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def hub(small_folder: Path, tmp_path: Path) -> Iterator[Hub]:
    """A hub with a good model, which also has files that loading does not need, and one of another family."""
    good, other = (Path(shutil.copytree(small_folder, tmp_path / name)) for name in ("good", "other"))
    (good / "pytorch_model.bin").write_bytes(b"pickle")
    (good / "modeling.py").write_text("raise SystemExit")
    change_config(other, model_type="chatglm", auto_map={"AutoConfig": "modeling.Config"})
    short = save_model("qwen2_5_vl", tmp_path / "short")
    with Hub({"some/good": good, "some/other": other, "Qwen/Qwen2.5-VL-3B-Instruct": short}) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def settings(hub: Hub, cache: Path) -> dict[str, str]:
    """The environment of a process that asks this hub."""
    return {
        "HF_HOME": str(cache),
        "HF_HUB_CACHE": str(cache / "hub"),
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
    }


def test_a_row_records_the_revision_that_the_hub_says(hub: Hub, tmp_path: Path) -> None:
    command = "eval --model qwen2.5-vl-3b --method token-prune --level mild --limit 1 --max-new-tokens 2"
    done = subprocess.run(
        [sys.executable, "-m", "freqq", *command.split(), "--out", tmp_path / "run"],
        env=os.environ | settings(hub, tmp_path / "cache"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(tmp_path / "run" / "results.parquet").to_pylist()
    assert {(row["model"], row["model_revision"], row["error"]) for row in rows} == {("qwen2.5-vl-3b", COMMIT, None)}


def test_hub(hub: Hub, tmp_path: Path) -> None:
    loads = [["some/good"], ["some/good", COMMIT], ["some/good", "v2"], ["some/other"], ["some/none"]]
    loads += [["qwen2.5-vl-3b"]]
    said = load_elsewhere(tmp_path / "cache", loads, **settings(hub, tmp_path / "cache"))
    assert said[0] == said[1] == f"loaded some/good {COMMIT}"
    assert said[2] == "refused some/good has no revision 'v2'"
    assert "remote code" in said[3]
    assert said[4].startswith("refused there is no folder some/none")
    assert said[5] == f"loaded qwen2.5-vl-3b {COMMIT}"  # a name stands for a hub id; the revision is the hub's
    wanted = {file.name for file in hub.models["some/good"].iterdir()} - {"pytorch_model.bin", "modeling.py"}
    also = [file.name for file in hub.models["Qwen/Qwen2.5-VL-3B-Instruct"].iterdir()]
    # The other family's model gave its config away and nothing more; the good ones each needed file once.
    assert sorted(hub.fetched) == sorted([*wanted, *also, "config.json"])
