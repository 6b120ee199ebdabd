"""Answers through vLLM are the local backend's, whatever the family: small random models, one vLLM after another.

Each model has a codebook of its own tokens; all of them are in one folder, in which both backends look.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from freqq.coding.codebook_files import ELSEWHERE
from freqq.glm.families import family_of
from freqq.glm.load import load_reader
from freqq.serve.chat import chat_request
from freqq.tokens import COMPRESSORS, compressor
from freqq.tokens.grid import whole
from tests.glm.conftest import CONFIGS, KINDS, TEXT, noise_page, own_codebook, save_model
from tests.vllm.conftest import needs_vllm

pytestmark = needs_vllm

SERVED = [kind for kind in KINDS if family_of(kind).engine]
METHODS = {
    "none": None,
    **{name: compressor(name).at("mild") for name in COMPRESSORS},
    "token-lowpass, compact": compressor("token-lowpass").at("mild", positions="compact"),
    "token-prune+int8": compressor("token-prune+int8").at("aggressive"),
    "token-prune+vq": compressor("token-prune+vq").at("ultra_mild"),
}
PAGES = [noise_page(112, 84, 0), noise_page(84, 168, 1), noise_page(140, 140, 2, colours=True)]
TILED = [noise_page(56, 56, 0), noise_page(168, 112, 1), noise_page(56, 112, 2, colours=True)]
"""Of one tile, and of several of 56 px."""

NEW_TOKENS = 12
QUESTION = "What?"


def save(kind: str, folder: Path) -> str:
    """A model as its family's checkpoints are, with heads as wide as vLLM's attention on a CPU asks for."""
    rope = CONFIGS.get(kind, {}).get("text_config", TEXT)["rope_parameters"]
    if "mrope_section" in rope:
        rope = rope | {"mrope_section": [2 * section for section in rope["mrope_section"]]}
    wide = {
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "rope_parameters": rope,
        "intermediate_size": 192,  # GLM-OCR's merger in vLLM is as wide as its language model's perceptrons
    }  # fmt: skip
    tiles = kind == "internvl"
    save_model(kind, folder, text=wide | ({"architectures": ["Qwen2ForCausalLM"]} if tiles else {}))
    if tiles:
        own = {"context_image_token": "<IMG_CONTEXT>", "video_token": "<video>"}
        for file in (folder / "tokenizer.json", folder / "tokenizer_config.json", folder / "chat_template.jinja"):
            text = file.read_text().replace("<|image|>", own["context_image_token"])
            file.write_text(text.replace("<|video|>", own["video_token"]))
        merge(folder / "tokenizer_config.json", own | {"model_specific_special_tokens": MARKS | own})
        merge(folder / "processor_config.json", {"processor_class": "InternVLProcessor", "image_seq_length": 4})
        merge(folder / "video_preprocessor_config.json", {"size": {"height": 56, "width": 56}})
    elif family_of(kind).image_processor not in ("Glm4vImageProcessorPil", "Qwen2VLImageProcessorPil"):
        merge(folder / "preprocessor_config.json", {"processor_class": "Glm46VProcessor"})
    return str(folder)


MARKS = {"start_image_token": "<|begin_of_image|>", "end_image_token": "<|end_of_image|>"}


def merge(file: Path, values: dict[str, object]) -> None:
    """Let a JSON file say this, too."""
    file.write_text(json.dumps((json.loads(file.read_text()) if file.exists() else {}) | values))


@pytest.fixture(scope="module")
def codebooks(tmp_path_factory):
    """The folder of the codebooks, which is where this process looks for them, too."""
    folder = tmp_path_factory.mktemp("codebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ELSEWHERE, str(folder))
        yield folder


@pytest.fixture(scope="module")
def expected(codebooks, tmp_path_factory):
    """Folders, requests and the local backend's answers by model type and kind of request."""
    readers = {kind: load_reader(save(kind, tmp_path_factory.mktemp("models") / kind), device="cpu") for kind in SERVED}
    books = {kind: own_codebook(reader) for kind, reader in readers.items()}
    for kind, book in books.items():
        (codebooks / f"{kind}.safetensors").write_bytes(book.file)
    found = {}
    for kind, reader in readers.items():
        pages = TILED if kind == "internvl" else PAGES
        prompts = [pages[:1], pages]
        grids = [reader.see(pages) for pages in prompts]
        asked, answers = {}, {}
        named = compressor("token-vq").at("aggressive", codebook=books[kind].id.hex())
        for name, method in {**METHODS, "token-vq, named": named}.items():
            made = [[whole(g) if method is None else method.compress(g) for g in pages] for pages in grids]
            answers[name] = reader.answer_many([QUESTION] * len(made), made, NEW_TOKENS)
            none = {"mm_processor_kwargs": {"freqq": {"method": "none"}}} if method is None else {}
            asked[name] = [chat_request(kind, QUESTION, pages, NEW_TOKENS, method=method) | none for pages in prompts]
            if name in ("none", "token-prune", "token-lowpass"):
                asked[f"{name}, sent"] = [chat_request(kind, QUESTION, pages, NEW_TOKENS) for pages in made]
                answers[f"{name}, sent"] = answers[name]
        asked["the server's"] = [chat_request(kind, QUESTION, pages, NEW_TOKENS) for pages in prompts]
        answers["the server's"] = answers["token-prune"]
        found[kind] = reader.model_name, asked, answers
    return found


@pytest.fixture(scope="module")
def said(expected, tmp_path_factory):
    """What a vLLM answers to each, the class of its model, and the processor time that it took."""
    folder = tmp_path_factory.mktemp("asked")
    todo, said = folder / "todo.json", folder / "said.json"
    todo.write_text(json.dumps({kind: (folder, asked) for kind, (folder, asked, _) in expected.items()}))
    environment = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    script = Path(__file__).with_name("families.py")
    command = [sys.executable, str(script), str(todo), str(said)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(said.read_text())


@pytest.mark.parametrize("kind", SERVED)
def test_answers_are_the_local_ones(expected, said, kind):
    _, _, answers = expected[kind]
    assert said[kind]["class"] == f"freqq.vllm.model.{family_of(kind).architecture}"
    for name, own in answers.items():
        assert said[kind]["answers"][name] == [[a.text, a.prompt_tokens] for a in own], name


@pytest.mark.parametrize("kind", SERVED)
def test_methods_matter(expected, kind):
    """Else equal answers would prove little."""
    _, _, answers = expected[kind]
    assert len({tuple(answer.text for answer in own) for own in answers.values()}) > len(METHODS) / 2
