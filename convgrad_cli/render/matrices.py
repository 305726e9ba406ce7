"""Small matrices side by side, coloured by value; the marked cells stand in brackets as well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product as every

from rich.cells import cell_len
from rich.style import Style as RichStyle
from rich.text import Text

from convgrad_cli.render.numbers import column, stored
from convgrad_cli.render.palette import heat, role
from convgrad_cli.render.style import Style
from convgrad_cli.report import Picture, TensorData

DRAWN, CELLS = 12, 144  # rows or columns, and cells of one tensor, up to which it is drawn rather than summed up
GAP = 3
BARS, ASCII_BARS = " ▁▂▃▄▅▆▇█", " .:-=+*#@"

Block = list[Text]


def pictures_of(tensor: TensorData, spatial: int) -> list[Picture]:
    """Every 2-D slice of a small tensor; none of a large one. `spatial` is its number of spatial axes."""
    rows, columns = (1, 1, *tensor.shape)[-2:] if spatial != 1 else (1, tensor.shape[-1])
    lead = tensor.shape[: len(tensor.shape) - (1 if spatial < 2 else 2)]
    if len(tensor.values) > CELLS or max(rows, columns) > DRAWN:
        return []
    matrices = list(every(*map(range, lead)))
    values = [stored(value, tensor.dtype) for value in tensor.values]
    pictures = []
    for number, at in enumerate(matrices):
        flat = values[number * rows * columns : (number + 1) * rows * columns]
        label = f"{tensor.letter}[{','.join(map(str, at))}]" if len(matrices) > 1 else tensor.letter
        matrix = tuple(tuple(flat[r * columns : (r + 1) * columns]) for r in range(rows))
        pictures.append(Picture(label, tensor.letter, matrix))
    return pictures


def draw(pictures: Sequence[Picture], style: Style) -> Iterator[Text]:
    """The pictures from left to right, as many side by side as the width has room for."""
    blocks = _blocks(pictures, style)
    width = style.width or 80
    line: list[Block] = []
    for block in blocks:
        if line and sum(_width(b) + GAP for b in line) + _width(block) > width:
            yield from _beside(line)
            line = []
        line.append(block)
    if line:
        yield from _beside(line)


def summary_line(tensor: TensorData, style: Style) -> Text:
    """One line for a tensor too large to draw: shape, range, mean and a histogram."""
    found = tensor.summary
    low, high, mean = (
        column([value], style.precision)[0].strip() for value in (found.minimum, found.maximum, found.mean)
    )
    bars = ASCII_BARS if style.ascii else BARS
    peak = max(found.histogram) or 1
    shape = "".join(bars[-(-n * (len(bars) - 1) // peak)] for n in found.histogram)
    text = Text(f"{tensor.letter:<7}", role(tensor.letter))
    text.append(f"{'x'.join(map(str, tensor.shape))}  {low} to {high}, mean {mean}  ", RichStyle())
    text.append(shape, role(tensor.letter))
    if found.nonfinite:
        text.append(f"  {found.nonfinite} not finite", RichStyle(bold=True))
    return text


def _blocks(pictures: Sequence[Picture], style: Style) -> list[Block]:
    """Each picture as lines of equal width. One scale and one number format for all pictures of a letter."""
    blocks: list[Block] = []
    for picture in pictures:
        alike = [v for p in pictures if p.letter == picture.letter for row in p.values for v in row]
        finite = [abs(v) for v in alike if abs(v) < float("inf")]
        largest = max(finite, default=0.0)
        texts = iter(column([*[v for row in picture.values for v in row], *alike], style.precision))
        wide = max(map(len, column(alike, style.precision)))
        lines = [Text(picture.label, role(picture.letter) + RichStyle(bold=True))]
        for r, row in enumerate(picture.values):
            line = Text()
            for c, value in enumerate(row):
                marks = "[]" if (r, c) in picture.marked else "  "
                shade = heat(value, largest)
                if picture.marked:
                    shade += RichStyle(bold=True) if (r, c) in picture.marked else RichStyle(dim=True)
                line.append(f"{marks[0]}{next(texts).strip():>{wide}}{marks[1]}", shade)
            lines.append(line)
        blocks.append(lines)
    return blocks


def _width(block: Block) -> int:
    return max(cell_len(line.plain) for line in block)


def _beside(blocks: list[Block]) -> Iterator[Text]:
    for i in range(max(map(len, blocks))):
        line = Text()
        for block in blocks:
            part = block[i].copy() if i < len(block) else Text()
            if block is not blocks[-1]:
                part.pad_right(_width(block) - cell_len(part.plain) + GAP)
            line.append_text(part)
        yield line
