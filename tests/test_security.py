"""What SECURITY.md says of the code: no code from files, no pickle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import bdfm

FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "read_pickle", "to_pickle"}
FILES = sorted(Path(bdfm.__file__).parent.rglob("*.py"))


def forbidden(source: str) -> list[str]:
    """Imports and calls in a text that could run what is in a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.partition(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in FORBIDDEN_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
                found.append(node.func.id)
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("read_pickle", "to_pickle"):
                found.append(node.func.attr)
            if isinstance(node.func, ast.Attribute) and node.func.attr == "system":
                found.append("system")
            for word in node.keywords:
                literal = word.value.value if isinstance(word.value, ast.Constant) else None
                if (word.arg == "allow_pickle" and literal is not False) or (word.arg == "shell" and literal):
                    found.append(str(word.arg))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(FILES[0].parent)))
def test_no_code_from_files(file):
    assert not forbidden(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "eval('1')",
        "exec(x)",
        "np.load(x, allow_pickle=True)",
        "pd.read_pickle(x)",
        "subprocess.run(x, shell=True)",
        "os.system(x)",
    ],
)
def test_it_would_be_found(source):
    assert forbidden(source)


def test_the_package_is_there():
    assert len(FILES) > 150
