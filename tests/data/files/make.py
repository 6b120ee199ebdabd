"""Write the sample files of this folder: `python tests/data/files/make.py`. Small, but each in its real schema."""

import gzip
import json
from pathlib import Path
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

HERE = Path(__file__).parent

ANSWERS = {
    "poem about tapirs": (
        "A tapir walks beside the stream,\nIts snout held low, as in a dream.",
        "The tapir sleeps till day is done,\nThen wades the river, far from sun.",
        "Soft hoofs on moss, a curious nose:\nWhere fig leaves fall, the tapir goes.",
        "Striped like a melon when it is small,\nThe tapir grows gray and heeds no call.",
    ),
    "blog post about rocks": (
        "# Why rocks matter\n\nEvery rock is a page of the planet's diary.\n\n"
        "1. **Granite** cooled slowly.\n2. **Basalt** did not.",
    ),
    "email about horses": ("Subject: The new foal\n\nDear all,\n\nshe stood up after 40 minutes. Come and see her!",),
}
ORDINALS = ("1st", "2nd", "3rd", "4th")


def record(needles: int, ordinal: int, prefix: str) -> dict[str, object]:
    """A record of openai/mrcr: `needles` requests for a poem about tapirs among others, one of them asked for."""
    asked = [
        ("poem about tapirs", ANSWERS["poem about tapirs"][i % 4] + f" ({i + 1})" * (i > 3)) for i in range(needles)
    ]
    asked.insert(1, ("blog post about rocks", ANSWERS["blog post about rocks"][0]))
    asked.insert(-1, ("email about horses", ANSWERS["email about horses"][0]))
    messages = []
    for request, answer in asked:
        messages += [{"role": "user", "content": f"write a {request}"}, {"role": "assistant", "content": answer}]
    wanted = [answer for request, answer in asked if request == "poem about tapirs"][ordinal - 1]
    question = (
        f"Prepend {prefix} to the {ORDINALS[ordinal - 1]} (1 indexed) poem about tapirs. "
        "Do not include any other text in your response."
    )
    messages.append({"role": "user", "content": question})
    return {
        "prompt": json.dumps(messages),
        "answer": prefix + wanted,
        "random_string_to_prepend": prefix,
        "n_needles": needles,
        "desired_msg_index": [m["content"] for m in messages].index(wanted),
        "total_messages": len(messages),
        "n_chars": sum(len(m["content"]) for m in messages),
        "date_added": "12-05-2025",
    }


RECORDS = {
    n: [record(n, 1, f"aYooSG8C{n}a"), record(n, 2, f"Qx7LmP2v{n}b"), record(n, 2, f"k0TzRr5d{n}c")] for n in (2, 4, 8)
}


def glyph(mrcr: dict[str, object], unique_id: str) -> dict[str, object]:
    """The same sample as Glyph's processed files have it."""
    messages = json.loads(str(mrcr["prompt"]))
    labels = {"user": "user", "assistant": "Assistant"}
    return {
        "unique_id": unique_id,
        "question": messages[-1]["content"],
        "answer": mrcr["answer"],
        "context": "\n".join(f"{labels[m['role']]}: {m['content']}" for m in messages[:-1]),
        "random_string_to_prepend": mrcr["random_string_to_prepend"],
        "config": {"font-size": 9, "line-height": 10, "newline-markup": "<br/>"},
    }


CHATS = [
    [
        {"role": "system", "content": "Answer briefly."},
        {"role": "user", "content": "What is the tallest mountain?"},
        {"role": "assistant", "content": "Mount Everest, at 8,849 m."},
    ],
    [
        {"role": "user", "content": [{"type": "text", "text": "Was ist das?"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": "Eine Brücke – 桥."},
    ],
]

CONVBENCH = [
    (
        "Read the sign.",
        "It says: Beware of the tapir.",
        "Why is it there?",
        "Tapirs cross the road.",
        "Write a slogan.",
        "Brake for snouts!",
    ),
    ("What is on the table?", "Bread and 2 cups.", "For how many?", 2, "Write a menu.", "Bread\nTea"),
]
RELEASED = (
    "ID", "instruction_category", "image_id", "instruction-conditioned-caption",
    "The_first_turn_instruction", "First_turn_instruction_category", "first_turn_answer",
    "The_second_turn_instruction", "Second_turn_instruction_category", "second_turn_answer",
    "The_third_turn_instruction", "Third_turn_instruction_category", "third_turn_answer", "third_turn_demands",
)  # fmt: skip


def workbook(rows: list[tuple[object, ...]], name: str) -> None:
    """An xlsx file with the chats on its second sheet, as the released one has other sheets, too."""
    book = openpyxl.Workbook()
    book.active.append(["about", "this", "file"])
    sheet = book.create_sheet("multi_turn_benchmark")
    for row in rows:
        sheet.append(row)
    book.save(HERE / name)


PARTS = {
    "[Content_Types].xml": (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/xl/workbook.xml" ContentType="{0}.sheet.main+xml"/>'
        '<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{0}.worksheet+xml"/>'
        '<Override PartName="/xl/sharedStrings.xml" ContentType="{0}.sharedStrings+xml"/></Types>'
    ).format("application/vnd.openxmlformats-officedocument.spreadsheetml"),
    "_rels/.rels": (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>'
    ),
    "xl/_rels/workbook.xml.rels": (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="r1" Type="{0}/worksheet" Target="worksheets/sheet1.xml"/>'
        '<Relationship Id="r2" Type="{0}/sharedStrings" Target="sharedStrings.xml"/></Relationships>'
    ).format("http://schemas.openxmlformats.org/officeDocument/2006/relationships"),
    "xl/workbook.xml": (
        '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
        'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
        '<sheets><sheet name="chats" sheetId="1" r:id="r1"/></sheets></workbook>'
    ),
}
MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def excel_workbook(rows: list[tuple[object, ...]], name: str) -> None:
    """An xlsx file as Excel writes it: texts in a table of their own, which openpyxl no longer writes."""
    texts = [str(cell) for row in rows for cell in row]
    shared = "".join(f'<si><t xml:space="preserve">{escape(text)}</t></si>' for text in texts)
    numbers = iter(range(len(texts)))
    cells = [
        f'<row r="{r}">'
        + "".join(f'<c r="{"ABCDEF"[c]}{r}" t="s"><v>{next(numbers)}</v></c>' for c in range(6))
        + "</row>"
        for r in range(1, len(rows) + 1)
    ]
    parts = PARTS | {
        "xl/sharedStrings.xml": f"<sst {MAIN}>{shared}</sst>",
        "xl/worksheets/sheet1.xml": f"<worksheet {MAIN}><sheetData>{''.join(cells)}</sheetData></worksheet>",
    }
    with ZipFile(HERE / name, "w", ZIP_DEFLATED) as archive:
        for part, xml in parts.items():
            archive.writestr(part, xml)


def message(role: str, *parts: object, kind: str = "text", to: str = "all", **more: object) -> dict[str, object]:
    """A message of ChatGPT's export; `more` are further fields of its content, apart from `metadata`."""
    metadata = more.pop("metadata", {})
    content = {"content_type": kind, **({"parts": list(parts)} if parts else {}), **more}
    return {"author": {"role": role, "name": None, "metadata": {}}, "create_time": 1712345678.5, "update_time": None,
            "content": content, "status": "finished_successfully", "end_turn": None, "weight": 1.0,
            "metadata": metadata, "recipient": to}  # fmt: skip


def conversation(title: str, current: str, *nodes: tuple[str, str | None, dict[str, object] | None]) -> object:
    """A chat of ChatGPT's export: nodes as (id, parent, message)."""
    mapping = {
        id: {
            "id": id,
            "message": said and {"id": id, **said},
            "parent": parent,
            "children": [child for child, of, _ in nodes if of == id],
        }
        for id, parent, said in nodes
    }
    return {"title": title, "create_time": 1712345678.1, "update_time": 1712345999.9, "mapping": mapping,
            "moderation_results": [], "current_node": current, "plugin_ids": None, "conversation_id": title,
            "conversation_template_id": None, "gizmo_id": None, "is_archived": False, "safe_urls": [],
            "default_model_slug": "gpt-4o", "id": title}  # fmt: skip


HIDDEN = {"is_visually_hidden_from_conversation": True}
PICTURE = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-abc", "width": 10, "height": 9}
SPOKEN = {"content_type": "audio_transcription", "text": "Thank you!", "direction": "in"}
OF_ONESELF = {"about_user_message": "I am a zoologist.", "about_model_message": "Answer in one line."}
EXPORT = (
    conversation(
        "Tapirs at noon",
        "a3",
        ("root", None, None),
        ("s1", "root", message("system", "", metadata=HIDDEN)),
        ("s2", "s1", message("user", kind="user_editable_context", user_profile="I like tapirs.")),
        ("u1", "s2", message("user", "Where do tapirs sleep?")),
        ("a1", "u1", message("assistant", "In trees.")),
        ("a2", "u1", message("assistant", "In thickets near water.")),
        ("u2", "a2", message("user", "And when it is hot?")),
        ("a3", "u2", message("assistant", "Then they rest in the water.")),
        ("u3", "a2", message("user", "And at noon?")),
    ),
    conversation(
        "A plot",
        "m8",
        ("r", "00000000-0000-0000-0000-000000000000", None),
        ("m1", "r", message("user", PICTURE, "Plot these numbers.", kind="multimodal_text")),
        ("m2", "m1", message("assistant", kind="code", to="python", language="unknown", text="plt.plot([1, 2])")),
        ("m3", "m2", message("tool", kind="execution_output", text="<Figure size 640x480>")),
        ("m4", "m3", message("assistant", kind="thoughts", thoughts=[{"summary": "s", "content": "Let me think."}])),
        ("m5", "m4", message("assistant", kind="reasoning_recap", content="Thought for 2 seconds")),
        ("m6", "m5", message("assistant", "Here it is.")),
        ("m7", "m6", message("user", SPOKEN, kind="multimodal_text")),
        ("m8", "m7", message("assistant", "")),
    ),
    conversation("New chat", "x1", ("r", None, None), ("x1", "r", message("system", ""))),
    conversation(
        "Instructed",
        "y3",
        ("r", None, None),
        (
            "y1",
            "r",
            message("system", "", metadata={"is_user_system_message": True, "user_context_message_data": OF_ONESELF}),
        ),
        ("y2", "y1", message("user", "How heavy is a tapir?")),
        ("y3", "y2", message("assistant", "150 to 300 kg.")),
    ),
)


def said(**messages: str) -> list[dict[str, str]]:
    """Messages of ShareGPT; who speaks is written before a number."""
    return [{"from": who.rstrip("0123456789"), "value": what} for who, what in messages.items()]


SHAREGPT = (
    {
        "id": "QWJhYvA_0",
        "conversations": said(
            human1="What is a tapir?",
            gpt1="A mammal with a short trunk.",
            human2="Where does it live?",
            gpt2="In forests of America and Asia.",
        ),
    },
    {"id": "i6IyJda_0", "conversations": []},
    {
        "id": "tools_1",
        "system": "You can look up the weather.",
        "tools": '[{"name": "weather"}]',
        "conversations": said(
            human="Is it hot in Belém?",
            function_call='{"name": "weather", "arguments": {"place": "Belém"}}',
            observation='{"celsius": 31}',
            gpt="Yes, 31 degrees.",
        ),
    },
)


def main() -> None:
    """Write them all."""
    for needles, records in RECORDS.items():
        folder = HERE / "mrcr" / f"{needles}needle"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(records[:2]), folder / f"{needles}needle_0.parquet")
        pq.write_table(pa.Table.from_pylist(records[2:]), folder / f"{needles}needle_1.parquet")
    lines = [json.dumps(r) for n in (2, 4) for r in RECORDS[n]]
    content = ("\n".join(lines) + "\n").encode()
    (HERE / "mrcr.jsonl").write_bytes(content)
    (HERE / "mrcr.jsonl.gz").write_bytes(gzip.compress(content, mtime=0))
    (HERE / "mrcr.jsonl.zst").write_bytes(zstandard.compress(content))
    names = ("2needle_0k_8k.parquet-0", "2needle_0k_8k.parquet-1", "2needle_8k_16k.parquet-0")
    items = [glyph(r, name) for r, name in zip(RECORDS[2], names, strict=True)]
    (HERE / "processed_2needle_0-128k.json").write_text(json.dumps(items, indent=2))
    (HERE / "processed_2needle_0-128k.jsonl").write_text("".join(json.dumps(i) + "\n" for i in items))
    (HERE / "chat.json").write_text(json.dumps(CHATS[0], indent=1))
    (HERE / "chats.jsonl").write_text("".join(json.dumps({"messages": c}, ensure_ascii=False) + "\n" for c in CHATS))
    (HERE / "chat.txt").write_text("Anna: Did you see the tapir?\nBen: Which one?\n")
    (HERE / "conversations.json").write_text(json.dumps(EXPORT, indent=1))
    (HERE / "sharegpt.json").write_text(json.dumps(SHAREGPT, ensure_ascii=False, indent=2))
    (HERE / "sharegpt.jsonl").write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in SHAREGPT))
    released = [
        (i, "reading", f"{i}.jpg", "a photo", c[0], "OCR", c[1], c[2], "sense", c[3], c[4], "ad", c[5], "short")
        for i, c in enumerate(CONVBENCH, 1)
    ]
    workbook([RELEASED, *released], "convbench.xlsx")
    short = [f"{kind}_{turn}" for turn in (1, 2, 3) for kind in ("instruction", "reference")]
    excel_workbook([tuple(short), *CONVBENCH], "convbench_short_names.xlsx")


if __name__ == "__main__":
    main()
