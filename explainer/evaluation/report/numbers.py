"""Numbers as tables show them."""


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with a fixed count of decimals, or a dash where there is none.

    Example:
        >>> number(None), number(0.25)
        ('–', '0.250')
    """
    return "–" if value is None else f"{value:.{digits}f}"


def formatted(value: float | None, kind: str = "score") -> str:
    r"""Return a number in the unit of its kind, with a real minus.

    Args:
        value: Number, or None for a dash.
        kind: Kind of a `Column`.

    Example:
        >>> formatted(0.5, "percent"), formatted(-0.25), formatted(12345.6, "ms"), formatted(3 * 2**20, "bytes")
        ('50.0', '−0.250', '12\u202f346', '3.0 MiB')
    """
    if value is None:
        return "–"
    text = _with_digits(value, kind)
    return text.replace("-", "−").replace(",", "\u202f")


def _with_digits(value: float, kind: str) -> str:
    """Return a number with as many digits as its kind is read with."""
    if kind == "percent":
        return f"{100 * value:.1f}"
    if kind == "bytes":
        if value < 2**30:
            return f"{value / 2**20:.1f} MiB"
        return f"{value / 2**30:.2f} GiB"
    if kind == "count":
        whole = value == int(value) or value >= 100
        return f"{value:,.0f}" if whole else f"{value:.1f}"
    if kind == "ms":
        return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
    return f"{value:.3f}"
