"""The table that a run ends with: what the link did, what arrived, and how soon an end was noticed."""

from __future__ import annotations

#: Under which name a test's report carries its row.
ROW = "faults row"
_HEADS = ["fault", "between", "frames sent", "arrived", "packets", "dropped", "doubled", "overtaken", "noticed after"]


def row(
    fault: str,
    between: str,
    *,
    counts: dict[str, int],
    sent: int | None = None,
    arrived: int | None = None,
    noticed: str = "",
) -> list[str]:
    """One line of the table; `counts` are those of `Lan.counts`."""
    dropped = sum(counts[key] for key in ("lost", "overflowed", "too_large", "cut"))
    numbers = [sent, arrived, counts["carried"], dropped, counts["duplicated"], counts["overtaken"]]
    return [fault, between, *("" if number is None else f"{number:,}" for number in numbers), noticed]


def lines(rows: list[list[str]]) -> list[str]:
    """The rows in columns, under their heads."""
    table = [_HEADS, *rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(_HEADS))]
    numbers = range(2, 8)
    return [
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]
