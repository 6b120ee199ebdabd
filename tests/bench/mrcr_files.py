"""MRCR's files in the layout of the hub, as many and as large as asked for: what a long evaluation starts from.

    python tests/bench/mrcr_files.py FOLDER [CHATS] [CHARACTERS]

writes ``2needle/2needle_0.parquet`` and so on, with the columns, types and compression of `openai/mrcr`. The texts are
paragraphs of Python's own reference and docstrings in random order, some with dashes, which are beyond Latin-1.
"""

import json
import random
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from freqq.data.pythontext import docstrings, reference

NEEDLES, FILES = (2, 4, 8), (0, 1)
SCHEMA = pa.schema(
    {
        "prompt": pa.string(), "answer": pa.string(), "random_string_to_prepend": pa.string(), "n_needles": pa.int64(),
        "desired_msg_index": pa.int64(), "total_messages": pa.int64(), "n_chars": pa.int64(), "date_added": pa.string(),
    }
)  # fmt: skip
SAID, PARAGRAPHS = 2000, 400
"""Characters of an answer, and how many there are to draw from."""


def record(rng: random.Random, said: list[str], needles: int, characters: int) -> dict[str, object]:
    """A chat of so many characters."""
    messages: list[dict[str, str]] = []
    while len(messages) < 2 or sum(len(m["content"]) for m in messages) < characters:
        messages.append({"role": "user", "content": f"Write a passage about subject {rng.randrange(200)}."})
        messages.append({"role": "assistant", "content": rng.choice(said)})
    prefix, index = f"{rng.getrandbits(60):015x}"[:10], rng.randrange(1, len(messages), 2)
    asked = f"Prepend {prefix} to the 2nd passage about {messages[index - 1]['content'][22:-1]}."
    messages.append({"role": "user", "content": asked})
    return {
        "prompt": json.dumps(messages), "answer": prefix + messages[index]["content"],
        "random_string_to_prepend": prefix, "n_needles": needles, "desired_msg_index": index,
        "total_messages": len(messages), "n_chars": characters, "date_added": "04-12-2025",
    }  # fmt: skip


def passages() -> list[str]:
    """The answers to draw from."""
    text = reference() + docstrings()
    found = [text[i * SAID : (i + 1) * SAID] for i in range(PARAGRAPHS)]
    return [one.replace(" - ", " \N{EM DASH} ") for one in found]


def write(folder: Path, chats: int = 2400, characters: int = 400_000, seed: int = 0) -> None:
    """`chats` of them, a third of each needle count, in two files each, whose only row group is as the hub has them."""
    said = passages()
    for needles in NEEDLES:
        for part in FILES:
            rng = random.Random(f"{seed}/{needles}/{part}")
            path = folder / f"{needles}needle" / f"{needles}needle_{part}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            count = chats // (len(NEEDLES) * len(FILES))
            lengths = [round(characters * rng.uniform(0.9, 1.1)) for _ in range(count)]
            records = [record(rng, said, needles, length) for length in lengths]
            pq.write_table(pa.Table.from_pylist(records, SCHEMA), path, compression="snappy")


if __name__ == "__main__":
    write(Path(sys.argv[1]), *map(int, sys.argv[2:]))
