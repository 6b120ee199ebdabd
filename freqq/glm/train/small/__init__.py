"""The training of `small`, which reads Glyph's look (proportional text) at 72 to 144 dpi."""
