"""Loading: one path for folders and hub ids, and one clear line for everything else."""

import json
import os
import shutil
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from freqq.errors import FreqqError, UserError
from freqq.glm.file_digest import digest
from freqq.glm.load import load_reader
from tests.glm.conftest import noise_page


@pytest.fixture
def folder(small_folder: Path, tmp_path: Path) -> Path:
    """A model folder that a test may damage."""
    return Path(shutil.copytree(small_folder, tmp_path / "model"))


def change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def refusal(*arguments: str, **options: str) -> str:
    """The message of a refused load, checked to be one line that exits with 2."""
    with pytest.raises(UserError) as caught:
        load_reader(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 2
    return message


def test_a_folder_says_what_it_is(model_folder: Path) -> None:
    reader = load_reader(str(model_folder), device="cpu")
    assert (reader.model_name, reader.dtype, reader.device) == (str(model_folder), "float32", "cpu")
    assert reader.revision == digest(model_folder)
    assert len(reader.revision) == 16


def test_dtype_is_asked_for(small_folder: Path) -> None:
    reader = load_reader(str(small_folder), dtype="bfloat16", device="cpu")
    assert reader.dtype == "bfloat16"
    (grid,) = reader.see([noise_page(112, 112, 0)])
    assert grid.dtype == torch.bfloat16
    assert reader.answer("What?", [grid.float()], 2).new_tokens == 2


def test_the_digest_follows_what_loading_reads(folder: Path) -> None:
    before = digest(folder)
    (folder / "README.md").write_text("about")
    assert digest(folder) == before
    for name in ("model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"):
        file = folder / name
        kept = file.read_bytes()
        file.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        assert digest(folder) != before, name
        file.write_bytes(kept)
    assert digest(folder) == before


@pytest.mark.parametrize(
    "suggested",
    [
        {"do_sample": True, "temperature": 5.0, "top_p": 0.9, "top_k": 50},
        {"repetition_penalty": 9.0, "no_repeat_ngram_size": 1, "bad_words_ids": [[i] for i in range(9, 60)]},
        {"max_length": 3, "min_length": 100, "num_beams": 2, "suppress_tokens": [0], "max_time": 0.0},
    ],
)
def test_greedy_answers_are_greedy_whatever_the_checkpoint_suggests(folder: Path, suggested: dict[str, Any]) -> None:
    grids = [noise_page(112, 112, 0)]
    plain = load_reader(str(folder), device="cpu")
    expected = plain.answer("What?", plain.see(grids), 24)
    file = folder / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | suggested))
    reader = load_reader(str(folder), device="cpu")
    found = [reader.answer("What?", reader.see(grids), 24) for _ in range(2)]
    assert {(answer.text, answer.new_tokens) for answer in found} == {(expected.text, expected.new_tokens)}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("tinny", "did you mean 'tiny'"),
        ("Glyf", "did you mean 'glyph'"),
        ("glm-4.1v", "did you mean 'glm-4.1v-9b'"),
        ("qqqqq", "known: tiny, small, glyph, glm-4.1v-9b"),
        ("./nowhere", "no folder"),
        ("a/b/c", "no folder"),
        ("THUDM/glm-4v-9b", "remote code"),
        ("zai-org/GLM-4v-9b", "remote code"),
    ],
)
def test_names_that_are_no_model(name: str, part: str) -> None:
    assert part in refusal(name)


def test_paths_that_are_no_model(tmp_path: Path, folder: Path) -> None:
    assert "no config.json" in refusal(str(tmp_path))
    assert "is a file" in refusal(str(folder / "config.json"))
    assert "is a folder" in refusal(str(folder), revision="main")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"model_type": "chatglm", "auto_map": {"AutoConfig": "code.Config"}}, "remote code"),
        ({"model_type": "internvl_chat", "auto_map": {"AutoConfig": "code.Config"}}, "needs remote code"),
        ({"model_type": "qwen2_vl"}, "'qwen2_vl'"),
        ({"model_type": ["glm4v"]}, "['glm4v']"),
        ({"model_type": None}, "None"),
        ({"architectures": ["Glm4vModel"]}, "Glm4vForConditionalGeneration"),
    ],
)
def test_other_families(folder: Path, changes: dict[str, object], part: str) -> None:
    """Refused by config.json alone; the remote code of a checkpoint is never run."""
    (folder / "code.py").write_text("raise SystemExit('this code ran')")
    change_config(folder, **changes)
    message = refusal(str(folder))
    assert part in message
    assert "use tiny, small, glyph, glm-4.1v-9b" in message


def test_remote_code_beside_a_known_type_is_not_run(folder: Path) -> None:
    (folder / "code.py").write_text("raise SystemExit('this code ran')")
    change_config(folder, auto_map={"AutoConfig": "code.Config", "AutoModelForImageTextToText": "code.Model"})
    assert load_reader(str(folder), device="cpu").answer("What?", [], 1).new_tokens == 1


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"])
def test_damaged_files(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"{ not what it was")
    refusal(str(folder))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "preprocessor_config.json"])
def test_missing_files(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refusal(str(folder))


@pytest.mark.parametrize("text", ["[1, 2]", "[" * 100_000])
def test_a_config_that_is_no_object(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    assert "not a model's config" in refusal(str(folder))


def test_missing_weights_are_not_made_up(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    del weights["model.language_model.norm.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    assert "model.language_model.norm.weight" in refusal(str(folder))


def test_pickled_weights_are_not_read(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert "safetensors" in refusal(str(folder))


def test_chat_template_beside_the_tokenizer(folder: Path) -> None:
    """An older layout: chat_template.json. Without any template there is nothing to write a chat with."""
    template = folder / "chat_template.jinja"
    text = template.read_text()
    template.unlink()
    assert "chat template" in refusal(str(folder))
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": text}))
    assert load_reader(str(folder), device="cpu").answer("What?", [], 1).prompt_tokens == 2 + len("What?")


def test_devices_and_dtypes(small_folder: Path) -> None:
    name = str(small_folder)
    assert "unknown device" in refusal(name, device="gpu")
    assert "not supported" in refusal(name, device="meta")
    assert "CUDA devices are visible" in refusal(name, device=f"cuda:{torch.cuda.device_count()}")
    assert "unknown dtype" in refusal(name, dtype="int8")


LOAD_FROM_HUB = """
import json, sys
from freqq.errors import UserError
from freqq.glm.load import load_reader
for arguments in json.loads(sys.argv[1]):
    try:
        reader = load_reader(*arguments, device="cpu")
        said = f"loaded {reader.model_name} {reader.revision}"
    except UserError as error:
        said = f"refused {error}"
    print(json.dumps(said))
"""


def load_elsewhere(cache: Path, loads: list[list[str]], **environment: str) -> list[str]:
    """Load in one process of its own, as the hub's settings are read at import: what it said."""
    settings = os.environ | {"HF_HOME": str(cache), "HF_HUB_CACHE": str(cache / "hub")} | environment
    settings["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", LOAD_FROM_HUB, json.dumps(loads)]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def cache_model(cache: Path, hub_id: str, folder: Path, commit: str) -> None:
    """Lay a model out as the hub's local cache does."""
    repository = cache / "hub" / f"models--{hub_id.replace('/', '--')}"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)


@pytest.fixture
def dead_hub() -> Iterator[tuple[str, list[object]]]:
    """The address of a hub that hangs up on everybody, and who asked it."""
    asked: list[object] = []

    class HangUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked.append(self.client_address)

    with socketserver.TCPServer(("127.0.0.1", 0), HangUp) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("offline", [False, True], ids=["no-network", "offline-mode"])
def test_no_network(tmp_path: Path, small_folder: Path, dead_hub: tuple[str, list[object]], offline: bool) -> None:
    """What the cache has is loaded; all else is one line, and asked for once: the hub client's own retries take half a
    minute."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cache_model(tmp_path, "zai-org/Glyph", small_folder, commit)
    loads = [["glyph"], ["zai-org/Glyph", commit], ["zai-org/Glyph", "v2"], ["glm-4.1v-9b"]]
    address, asked = dead_hub
    environment = {"HF_ENDPOINT": address, "NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": str(int(offline))}
    by_name, by_commit, other_revision, not_there = load_elsewhere(tmp_path, loads, **environment)
    assert by_name == f"loaded glyph {commit}"
    assert by_commit == f"loaded zai-org/Glyph {commit}"
    assert other_revision.startswith("refused cannot reach the hub for zai-org/Glyph")
    assert not_there.startswith("refused cannot reach the hub for zai-org/GLM-4.1V-9B-Thinking")
    assert "--model tiny" in not_there
    assert len(asked) <= (0 if offline else 2 * len(loads))


def test_out_of_range_is_a_failing_run(small_folder: Path) -> None:
    """A prompt that is too long fails one sample (exit code 1); it is not the user's typing."""
    with pytest.raises(FreqqError) as caught:
        load_reader(str(small_folder), device="cpu").answer("x" * 600, [], 1)
    assert caught.value.exit_code == 1
