"""A check at a terminal: a row for each tensor, the worst elements of those that are not right, and the reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import RenderableType
from rich.padding import Padding
from rich.style import Style as RichStyle
from rich.table import Table as RichTable
from rich.text import Text

from convgrad_cli.findings import Check, Verdict
from convgrad_cli.render import diagnosis, verdicts
from convgrad_cli.render.names import LETTERS, TITLES, element_name
from convgrad_cli.render.palette import BAD, DOUBT, GOOD, role
from convgrad_cli.render.rows import BOLD, DIM, GAP, NAME, added, coloured
from convgrad_cli.render.style import SENTENCE, Style
from convgrad_cli.report import Element, Report
from convgrad_cli.safe import safe

COLOURS = {"PASS": GOOD, "FAIL": BAD, "ERROR": BAD, "SUSPECT": DOUBT, "MISTRUSTED": DOUBT}
NARROW = 60  # with fewer columns labels stand above their text
LINES = 2  # that the numbers added up to one element may take
ROOM = 12  # columns that the last cell needs beside the others; with fewer the row becomes a sentence
NUMBERS = ("actual", "expected", "off by", "bound")


def parts(report: Report, check: Check, style: Style) -> Iterator[RenderableType]:
    """What stands below the layer, from top to bottom."""
    if not style.only:
        yield _target(check)
        yield Text()
    yield from _rows([v for v in check.verdicts if style.shows(v.tensor)], style)
    for verdict in verdicts.detailed(check, style):
        yield from _told(verdict, report, check, style)
    if not style.only and (check.conditions or check.unchecked):
        yield Text()
        yield from _conditions(check, style)
    if not style.only:
        told = list(diagnosis.lines(check))
        if told:
            yield Text()
            yield _listed([(Text(label, DIM), Text(text)) for label, text in told], NAME)
    yield Text()
    yield _listed([(_word(check.verdict), Text(safe(check.reason, SENTENCE)))])


def _target(check: Check) -> Text:
    return Text().append(safe(check.target), BOLD).append(f"   {verdicts.declared(check)}", DIM)


def _rows(shown: Sequence[Verdict], style: Style) -> Iterator[RenderableType]:
    """A row a tensor."""
    found = [verdicts.cells(verdict) for verdict in shown]
    if not found:
        return
    heads = ("", *verdicts.HEADS[1:])  # the words need no head
    columns = list(zip(heads, *found, strict=True))
    taken = NAME + sum(GAP + max(map(len, texts)) for texts in columns[:-1])
    if style.width is not None and style.width < taken + GAP + ROOM:
        for verdict, texts in zip(shown, found, strict=True):
            yield from _stacked(verdict, *texts[1:])
        return
    grid = RichTable(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_edge=False, header_style="")
    grid.add_column(no_wrap=True, min_width=NAME)
    for number, head in enumerate(heads):
        last = number == len(heads) - 1
        grid.add_column(Text(head, DIM), justify="right" if number > 0 and not last else "left", no_wrap=not last)
    for verdict, (_, *rest) in zip(shown, found, strict=True):
        grid.add_row(_title(verdict), _word(verdict.verdict), *map(Text, rest, _marks(verdict)))
    yield grid


def _stacked(verdict: Verdict, probes: str, data: str, ratio: str, arithmetic: str) -> Iterator[RenderableType]:
    """For narrow terminals: the name and the verdict, the rest below."""
    yield Text().append_text(_title(verdict)).append("  ").append_text(_word(verdict.verdict))
    yield Padding(Text(f"probes {probes}, real data {data}"), (0, 0, 0, GAP))
    if verdict.elements:
        explained = arithmetic if verdict.arithmetic else "no arithmetic explains it"
        yield Padding(Text(f"{ratio} x bound, {explained}"), (0, 0, 0, GAP))


def _marks(verdict: Verdict) -> Sequence[RichStyle]:
    """How the cells after the verdict look: what is wrong stands out, what nothing explains stands back."""
    bad, plain = RichStyle(color=BAD), RichStyle()
    data = bad if verdict.wrong else plain
    return bad if verdicts.not_passed(verdict.probes) else plain, data, data, plain if verdict.arithmetic else DIM


def _told(verdict: Verdict, report: Report, check: Check, style: Style) -> Iterator[RenderableType]:
    said = verdicts.remarks(verdict, check)
    elements = verdicts.worst(verdict, report, style)
    if not said and not elements:  # the last line says it
        return
    yield Text()
    if said:
        yield from labelled(_title(verdict), list(map(Text, said)), style)
    if elements:
        yield from _elements(elements, verdicts.whose(verdict), report, style)


def _elements(elements: Sequence[Element], whose: str, report: Report, style: Style) -> Iterator[RenderableType]:
    """Two lines an element: its numbers, and below them the slice sum that it should be."""
    names = [element_name(element) for element in elements]
    columns = [(whose, *names)]
    numbers = verdicts.numbers(elements, report, style.precision)
    columns += zip(NUMBERS, *numbers, strict=True)
    widths = [max(NAME * (i == 0), *map(len, texts)) for i, texts in enumerate(columns)]
    wide = style.width is None or style.width >= sum(widths) + GAP * len(NUMBERS)
    if wide:
        yield Text((" " * GAP).join([whose.ljust(widths[0]), *map(str.rjust, NUMBERS, widths[1:])]), DIM)
    for element, name, texts in zip(elements, names, numbers, strict=True):
        mark = RichStyle(color=BAD, bold=True) if element.agrees is False else RichStyle()
        if wide:
            first, *others = map(str.rjust, texts, widths[1:])
            yield Text(f"{name.ljust(widths[0])}  ").append(first, mark).append("".join(f"  {text}" for text in others))
        else:
            yield Text(name)
            pairs = [(Text(head, DIM), Text(text.strip())) for head, text in zip(NUMBERS, texts, strict=True) if text]
            yield Padding(_listed(pairs), (0, 0, 0, GAP))
        yield from (Padding(line, (0, 0, 0, GAP)) for line in _origin(element, report, style))


def _origin(element: Element, report: Report, style: Style) -> Iterator[Text]:
    """The slice sum, and the numbers added beside it or below, where they fit into a line."""
    line = coloured(element.expression)
    terms = added(element, report.dtype, style.precision)
    if element.formula.reason:
        line.append(f"   {element.formula.reason}")
    room = None if style.width is None else style.width - GAP
    if room is None or cell_len(line.plain) + GAP + 1 + cell_len(terms) <= room:
        yield line.append(f"   {terms}" if terms else "", DIM)
    else:
        yield line
        if terms and cell_len(terms) <= LINES * room:
            yield Text(terms, DIM)


def _conditions(check: Check, style: Style) -> Iterator[RenderableType]:
    """Those that hold in one run of names, each that does not on a line of its own, and what was not checked."""
    failed = verdicts.not_passed(check.conditions)
    held = [safe(found.name) for found in check.conditions if found not in failed]
    lines = [Text().append_text(_word(f.outcome)).append(f"  {safe(f.name)}: {verdicts.shown(f)}") for f in failed]
    if held and check.verdict == "PASS":
        lines += [Text(line) for line in _flowing(held, style)]
    elif held:
        lines.append(Text(f"{len(held)} hold"))
    if lines:
        yield from labelled(Text("conditions", DIM), lines, style)
    if check.unchecked:
        missing = [Text(safe(text, SENTENCE), DIM) for text in check.unchecked]
        yield from labelled(Text("not checked", DIM), missing, style)


def _flowing(names: Sequence[str], style: Style) -> Iterator[str]:
    """The names in lines as long as there is room beside the label; none is broken."""
    dot = "; " if style.ascii else " · "
    room = None if style.width is None else style.width - (GAP if _is_narrow(style) else NAME + GAP)
    line = names[0]
    for name in names[1:]:
        if room is not None and cell_len(line + dot + name + dot) > room:
            yield line + dot.rstrip()
            line = name
        else:
            line += dot + name
    yield line


def labelled(label: Text, lines: Sequence[Text], style: Style) -> Iterator[RenderableType]:
    """The lines beside the label of the first, or below it where the terminal is narrow."""
    if _is_narrow(style):
        yield label
        yield from (Padding(line, (0, 0, 0, GAP)) for line in lines)
    else:
        yield _listed([(label if i == 0 else Text(), line) for i, line in enumerate(lines)], NAME)


def _is_narrow(style: Style) -> bool:
    return style.width is not None and style.width < NARROW


def _listed(rows: Sequence[tuple[Text, Text]], width: int = 0) -> RenderableType:
    """A label a row and its text, which hangs beside the label where it needs several lines."""
    grid = RichTable.grid(padding=(0, GAP, 0, 0))
    grid.add_column(no_wrap=True, min_width=width)
    grid.add_column(overflow="fold")
    for label, text in rows:
        grid.add_row(label, text)
    return grid


def _title(verdict: Verdict) -> Text:
    return Text(TITLES[verdict.tensor].ljust(NAME), role(LETTERS[verdict.tensor]) + BOLD)


def _word(verdict: str) -> Text:
    return Text(safe(verdict), RichStyle(bold=True, color=COLOURS.get(verdict)))
