"""Shared by the tests of months and reports."""

import pytest


@pytest.fixture
def run(bdfm_command):
    """Run `bdfm ...`; standard output comes in one line."""

    def call(*args):
        code, out, err = bdfm_command(*args)
        return code, " ".join(out.split()), err

    return call
