"""Tables on a terminal: figures stay whole, texts wrap, and columns that do not fit go on below.

Where there is no room for two columns, each row is a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, JustifyMethod

Cell = str | Text
SHORT: Final = 20  # letters that a column of texts has at least, if it has so many


@dataclass
class Sheet:
    """A table that is read at any width of the terminal, by one rule for all commands.

    A figure, and a word of its heading, is never cut or wrapped. Texts wrap. Where columns of figures have no
    room, they go on in a further block below, which begins with the ``keys`` again. Where not even one of
    them has room beside the keys, each row is a list of what it holds: no word is cut there either. Without a
    terminal, as in a pipe, the width is 80 or that of the variable COLUMNS.

    Attributes
    ----------
    title, caption
        Lines above and below; blank for none.
    keys
        Headings of the texts that say what a row is about.
    figures, texts
        Headings of the columns after them; figures are to the right.
    """

    title: str
    keys: Sequence[str]
    figures: Sequence[str] = ()
    texts: Sequence[str] = ()
    caption: str = ""
    rows: list[tuple[tuple[Cell, ...], str]] = field(default_factory=list, init=False)

    def add_row(self, *cells: Cell, style: str = "") -> None:
        """Add the cells of a row, in the order keys, figures, texts; texts are plain, without markup."""
        expected = len(self.keys) + len(self.figures) + len(self.texts)
        if len(cells) != expected:
            raise TypeError(f"row of {len(cells)} cells. Expected {expected}.")
        self.rows.append((cells, style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table | Text]:
        """Blocks of columns, each as wide as there is room; lists where there is room for none."""
        if self.title:
            yield Text(self.title, style="italic")
        room = options.max_width
        n_keys = len(self.keys)
        wide = max(SHORT, room // (2 * n_keys))
        for key, gap in ((wide, 2), (wide, 1), (SHORT // 2, 1)):  # keys wrap before columns go below
            columns = self._columns(room, key)
            wanted = [least for _, least, _ in columns]
            blocks = _blocks(wanted, n_keys, room, gap)
            if len(blocks) == 1:
                break
        if any(sum(wanted[i] for i in block) + gap * (len(block) - 1) > room for block in blocks):
            yield from self._lists()
            blocks = []
        for number, block in enumerate(blocks):
            if number:
                yield Text()
            widths = _widths([columns[i] for i in block], room, gap)
            table = Table(box=None, pad_edge=False, padding=0)  # releases of Rich count padding differently
            for at, (i, width) in enumerate(zip(block, widths, strict=True)):
                if at:
                    table.add_column(width=gap)
                side: JustifyMethod = "right" if columns[i][2] else "left"
                table.add_column(Text(self._headings[i]), justify=side, width=width, overflow="fold")
            for cells, style in self.rows:
                shown = [c if isinstance(c, Text) else Text(c) for c in (cells[i] for i in block)]
                table.add_row(*[x for c in shown for x in (c, Text())][:-1], style=style)
            yield table
        if self.caption:
            yield Text(self.caption, style="dim italic")

    def _lists(self) -> Iterator[Text]:
        """Each row as lines: heading and cell."""
        for number, (cells, style) in enumerate(self.rows):
            if number:
                yield Text()
            for heading, cell in zip(self._headings, cells, strict=True):
                shown = cell if isinstance(cell, Text) else Text(cell)
                yield Text.assemble(f"{heading}: " if heading else "", shown, style=style)

    @property
    def _headings(self) -> list[str]:
        return [*self.keys, *self.figures, *self.texts]

    def _columns(self, room: int, key: int) -> list[tuple[int, int, bool]]:
        """Width wanted, least width, and whether it is of figures, of each; ``key`` is the least of keys."""
        found = []
        for i, heading in enumerate(self._headings):
            is_key, is_figure = i < len(self.keys), 0 <= i - len(self.keys) < len(self.figures)
            cells = [str(cells[i]) for cells, _ in self.rows]
            full = max(map(_width, (heading, *cells)))
            word = max(map(_word, (heading, *cells)))
            if is_figure:
                least = max(map(_width, (*heading.split(), *cells)), default=1)
            elif is_key:
                least = min(full, max(key, min(word, SHORT)))
            else:
                least = min(full, max(_word(heading), min(word, SHORT), SHORT // 2))
            found.append((full, min(max(least, 1), room), is_figure))
        return found


def _width(text: str) -> int:
    """Cells of the terminal that the longest line of a text takes."""
    return max((Text(line).cell_len for line in text.splitlines()), default=0)


def _word(text: str) -> int:
    """Cells of the longest word."""
    return max(map(_width, text.split()), default=0)


def _blocks(least: Sequence[int], n_keys: int, room: int, gap: int) -> list[list[int]]:
    """Columns of each block: the keys, and as many others as there is room for, one at least."""
    keys = list(range(n_keys))
    blocks = [keys[:]]
    for i in range(n_keys, len(least)):
        block = [*blocks[-1], i]
        if sum(least[j] for j in block) + gap * (len(block) - 1) > room and len(blocks[-1]) > n_keys:
            blocks.append([*keys, i])
        else:
            blocks[-1] = block
    return blocks


def _widths(columns: Sequence[tuple[int, int, bool]], room: int, gap: int) -> list[int]:
    """Widths of a block's columns: the least of each, and what is left over to texts first, evenly."""
    widths = [least for _, least, _ in columns]
    spare = room - sum(widths) - gap * (len(widths) - 1)
    for figures in (False, True):
        wanting = [
            i for i, (full, _, is_figure) in enumerate(columns) if is_figure is figures and widths[i] < full
        ]
        while spare > 0 and wanting:
            for i in wanting[:spare]:
                widths[i] += 1
            spare -= len(wanting[:spare])
            wanting = [i for i in wanting if widths[i] < columns[i][0]]
    return widths
