"""The results as Markdown. Pure functions."""

from collections.abc import Sequence

from benchmarks.cases import FLOOR
from benchmarks.figures import Figures, Record, Row, memory_ratio, time_ratio
from benchmarks.targets import verdicts

_COLUMNS = ("case", "threads", "variant", "µs a step", "× floor", "lowest to highest", "peak MiB", "× floor")
_GPU_COLUMNS = ("GPU MiB", "× floor")
_EXPLANATION = """\
A case is network-units-batch size. Each variant trains in a process of its own; in each round every variant trains one
chunk (an epoch with what is done at its end; of the LSTM 20 batches, drawn anew each time), in an order drawn anew, one
variant at a time. "µs a step" is the median over the rounds, "× floor" the median of the ratios within a round, and
"peak MiB" the most memory that the process held. `…-val`: validation on the last 6,000 images counts, too.

- `floor`: a bare torch loop over tensors in memory (images as uint8), one index_select a batch, fused Adam, no metrics;
  with denormal numbers flushed to zero (`floor with denormals`: as torch comes).
- `dlproj`: this project's own run with TensorBoard, progress bar, `metrics.csv`, best and last checkpoint.
- `lab`: a Dataset of pairs, DataLoader, Adam, `loss.item()` at every step.
- `template …`: Lightning with torchmetrics objects logged at every step, on pairs in memory or torchvision's data set.
- `keras`: Keras 3 on TensorFlow, `model.fit` on arrays in memory.
- `matmul`: the matrix products of a training step alone.

All torch variants flush denormal numbers to zero, as dlproj does by itself."""


def render(records: Sequence[Record]) -> str:
    """The full report; the first record is the header."""
    header, figures = records[0], Figures(records)
    parts = [
        "# Speed and memory, compared",
        _about(records),
        *([] if header["limit"] else ["## Targets", _targets(figures, header["device"])]),
        "## Figures",
        _table(_COLUMNS + (_GPU_COLUMNS if header["device"] == "cuda" else ()), _lines(figures, header["device"])),
        "## What is compared",
        _EXPLANATION,
    ]
    return "\n\n".join(parts) + "\n"


def _about(records: Sequence[Record]) -> str:
    header = records[0]
    versions = header["versions"] | {
        name: version for record in records for name, version in record.get("worker_versions", {}).items()
    }
    lines = [
        f"- date: {header['date']}",
        f"- command: `{header['command']}`, {header['rounds']} rounds",
        f"- machine: {header['machine']}; device: {header['device']}",
        f"- versions: {', '.join(f'{name} {version}' for name, version in versions.items())}",
    ]
    if header["limit"]:
        lines.append(
            f"- **QUICK: at most {header['limit']} batches a chunk. A check that it runs, not a measurement.**"
        )
    return "\n".join(lines)


def _targets(figures: Figures, device: str) -> str:
    lines = [
        (verdict.target.text(), verdict.case, str(verdict.threads), _number(verdict.value, 2), verdict.text())
        for verdict in verdicts(figures, device)
    ]
    return _table(("target", "case", "threads", "measured", "verdict"), lines)


def _lines(figures: Figures, device: str) -> list[tuple[str, ...]]:
    return [_line(row, figures.beside(row, FLOOR), device == "cuda") for row in figures.rows()]


def _line(row: Row, floor: Row | None, gpu: bool) -> tuple[str, ...]:
    ratio = time_ratio(row, floor)
    cells = (
        row.case,
        str(row.threads),
        row.variant,
        row.note or _number(row.microseconds_a_step(), 0),
        _number(ratio.median if ratio else None, 2),
        f"{ratio.lowest:.2f} to {ratio.highest:.2f}" if ratio else "",
        _mebibytes(row.peak_memory_bytes),
        _number(memory_ratio(row, floor), 2),
    )
    if not gpu:
        return cells
    return (*cells, _mebibytes(row.peak_gpu_memory_bytes), _number(memory_ratio(row, floor, gpu=True), 2))


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _mebibytes(size: int | None) -> str:
    return _number(size / 2**20, 0) if size else ""


def _table(head: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> str:
    rows = [head, ("---",) * len(head), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
