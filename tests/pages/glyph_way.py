"""Glyph's way from text to pages, written for the tests and benchmarks: reportlab sets a PDF, poppler draws it."""

import io
import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

import numpy as np
import pdfplumber
from numpy.typing import NDArray
from pdf2image import convert_from_bytes
from PIL import Image
from reportlab.lib import colors, enums
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Paragraph, SimpleDocTemplate

from freqq.pages.glyph import GlyphConfig
from freqq.pages.style import font_file, font_index
from tests import programs


def set_pdf(text: str, config: GlyphConfig, one_paragraph: bool = False) -> bytes:
    """The PDF of a text, 30 lines a paragraph, or all in one as Glyph's evaluation has it."""

    def color(rgb):
        return None if rgb is None else colors.Color(*(part / 255 for part in rgb))

    _, index = font_index(config.font_path)
    font = f"{font_file(config.font_path)} {index}"
    if font not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(font, font_file(config.font_path), subfontIndex=index))
    style = ParagraphStyle(
        "reference",
        fontName=font,
        fontSize=config.font_size,
        leading=config.leading,
        textColor=color(config.font_color),
        backColor=color(config.para_bg_color),
        borderColor=color(config.para_border_color),
        borderWidth=config.border_width,
        borderPadding=config.border_padding,
        firstLineIndent=config.first_line_indent,
        leftIndent=config.left_indent,
        rightIndent=config.right_indent,
        alignment=getattr(enums, f"TA_{config.alignment}"),
        spaceBefore=config.space_before,
        spaceAfter=config.space_after,
        wordWrap="CJK" if re.search("[\u4e00-\u9fff]", text) else None,
    )
    visible = escape(text.replace("\xad", "").replace("\u200b", ""))
    spaced = re.sub("  +", lambda blanks: "&nbsp;" * len(blanks[0]), visible)
    lines = (spaced.replace("\t", 4 * "&nbsp;") if one_paragraph else spaced).split("\n")
    step = len(lines) if one_paragraph else 30
    story = [Paragraph(config.newline_markup.join(lines[i : i + step]), style) for i in range(0, len(lines), step)]

    def background(canvas, _):
        canvas.saveState()
        canvas.setFillColor(color(config.page_bg_color))
        canvas.rect(0, 0, *config.page_size, stroke=0, fill=1)
        canvas.restoreState()

    file = io.BytesIO()
    x, y = config.margin_x, config.margin_y
    document = SimpleDocTemplate(
        file, pagesize=config.page_size, leftMargin=x, rightMargin=x, topMargin=y, bottomMargin=y
    )
    document.build(story, onFirstPage=background, onLaterPages=background)
    return file.getvalue()


def pens(pdf: bytes) -> list[list[tuple[str, float, float]]]:
    """Every visible character of every page with its pen's x and baseline in points; "\\0" for one without a glyph."""
    with pdfplumber.open(io.BytesIO(pdf)) as document:
        return [
            [
                (char["text"], char["matrix"][4], float(page.height) - char["matrix"][5])
                for char in page.chars
                if char["text"] not in (" ", "\xa0")
            ]
            for page in document.pages
        ]


def page_texts(pdf: bytes) -> list[str]:
    with pdfplumber.open(io.BytesIO(pdf)) as document:
        return [page.extract_text() for page in document.pages]


def draw_pdf(pdf: bytes, config: GlyphConfig) -> Iterator[NDArray[np.uint8]]:
    """Drawn by poppler, then scaled and cropped by Glyph's rules: uint8 [height, width, 3]."""
    programs.require("pdf")
    images = convert_from_bytes(pdf, dpi=config.dpi)
    for number, image in enumerate(images, 1):
        if config.horizontal_scale != 1:
            image = image.resize((int(image.width * config.horizontal_scale), image.height))
        last = number == len(images)
        if config.auto_crop_width or (config.auto_crop_last_page and last):
            gray = np.asarray(image.convert("L"))
            marks = np.abs(gray - np.median(gray[:2, :2])) > 5
            columns, rows = np.flatnonzero(marks.any(0)), np.flatnonzero(marks.any(1))
            if config.auto_crop_width and columns.size:
                image = image.crop((0, 0, min(image.width, columns[-1] + 1 + config.margin_x), image.height))
            if config.auto_crop_last_page and last and rows.size:
                image = image.crop((0, 0, image.width, min(image.height, rows[-1] + config.margin_y)))
        yield np.asarray(image)


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
