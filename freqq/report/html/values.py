"""How numbers are written on the page."""


def points(value: float, signed: bool = False) -> str:
    """A fraction of 1 in points of 100 with one decimal, with a real minus: ``−4.3``."""
    if value != value:
        return "–"
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    if float(text) == 0:
        text = "0.0"
    return text.replace("-", "−")


def percent(value: float | None) -> str:
    """A rate in percent with three digits: ``3.25 %``, ``61.0 %``, ``336 %``."""
    if value is None:
        return "–"
    share = 100 * value
    digits = 0 if share >= 99.95 else 1 if share >= 9.995 else 2
    return f"{share:,.{digits}f} %"


def p_value(value: float | None) -> str:
    """A p-value with three decimals: ``.032``, ``<.001``."""
    if value is None:
        return "–"
    if value < 0.001:
        return "<.001"
    return "1" if value >= 0.9995 else f"{value:.3f}"[1:]
