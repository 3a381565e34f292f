"""Work on other processes: what a process takes with it when it dies is told, and no more is lost."""

from __future__ import annotations

import os

from bdfm._workers import spread


def dies_at_two(job, item):
    if item == 2:
        os._exit(1)
    return item


def test_a_worker_that_dies_loses_its_own_piece_alone():
    lost = {}
    found = spread(
        dies_at_two, None, [1, 2, 3], lost=lambda i, f: lost.setdefault(i, f), what="run", workers=2
    )
    done = list(found)
    assert sorted(x for x in done if isinstance(x, int)) == [1, 3]
    assert [*lost] == [2]
    assert "lack of memory" in lost[2].message
