"""Write the sample files of this folder: `python tests/data/files/make.py`. Small, but each in its real schema."""

import json
from pathlib import Path
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

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


def main() -> None:
    """Write them all."""
    for needles, records in RECORDS.items():
        folder = HERE / "mrcr" / f"{needles}needle"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(records[:2]), folder / f"{needles}needle_0.parquet")
        pq.write_table(pa.Table.from_pylist(records[2:]), folder / f"{needles}needle_1.parquet")
    lines = [json.dumps(r) for n in (2, 4) for r in RECORDS[n]]
    (HERE / "mrcr.jsonl").write_text("\n".join(lines) + "\n")
    names = ("2needle_0k_8k.parquet-0", "2needle_0k_8k.parquet-1", "2needle_8k_16k.parquet-0")
    items = [glyph(r, name) for r, name in zip(RECORDS[2], names, strict=True)]
    (HERE / "processed_2needle_0-128k.json").write_text(json.dumps(items, indent=2))
    (HERE / "processed_2needle_0-128k.jsonl").write_text("".join(json.dumps(i) + "\n" for i in items))
    (HERE / "chat.json").write_text(json.dumps(CHATS[0], indent=1))
    (HERE / "chats.jsonl").write_text("".join(json.dumps({"messages": c}, ensure_ascii=False) + "\n" for c in CHATS))
    (HERE / "chat.txt").write_text("Anna: Did you see the tapir?\nBen: Which one?\n")
    released = [
        (i, "reading", f"{i}.jpg", "a photo", c[0], "OCR", c[1], c[2], "sense", c[3], c[4], "ad", c[5], "short")
        for i, c in enumerate(CONVBENCH, 1)
    ]
    workbook([RELEASED, *released], "convbench.xlsx")
    short = [f"{kind}_{turn}" for turn in (1, 2, 3) for kind in ("instruction", "reference")]
    excel_workbook([tuple(short), *CONVBENCH], "convbench_short_names.xlsx")


if __name__ == "__main__":
    main()
