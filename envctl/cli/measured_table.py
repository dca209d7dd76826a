"""A comparison as a plain table."""

from __future__ import annotations

from envctl.bench.document import Cell, Document


def print_table(document: Document) -> None:
    """A line for each cell: verdict, latency, throughput, memory."""
    width = max((len(cell.id) for cell in document.cells), default=0)
    print(f"{'cell':<{width}}  {'status':<8} {'median':>10} {'p99':>10} {'cv':>6} {'per s':>9} {'peak':>9}")
    for cell in document.cells:
        print(f"{cell.id:<{width}}  {cell.status:<8} {_figures(cell)}")
        if cell.reason:
            print(f"  {cell.reason.what}")


def _figures(cell: Cell) -> str:
    if not (cell.latency and cell.throughput and cell.memory):
        return ""
    told = cell.latency
    rate = f"{cell.throughput.per_s:.1f}" if cell.throughput.per_s else "?"
    times = f"{told.median * 1e3:>7.3f} ms {told.p99 * 1e3:>7.3f} ms"
    unstable = "" if told.stable else "  unstable"
    return f"{times} {told.cv:>6.1%} {rate:>9} {(cell.memory.peak or 0) >> 20:>5} MiB{unstable}"
