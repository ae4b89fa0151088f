"""Digests of code: they follow imports, and see neither comments nor docstrings."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from unitscope import provenance
from unitscope.errors import UserError
from unitscope.provenance import code_digest, listing_digest, own_code_digest, rules_digest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def project(tmp_path):
    """Return a copy of the library and the scripts."""
    for folder in ("unitscope", "scripts", "rules"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def forget():
    """Let files be read anew, which a process does once."""
    for read in (provenance._tree, provenance._plain, provenance._imported):
        read.cache_clear()


def digests(project):
    forget()
    return {path.stem: code_digest(path, project) for path in sorted((project / "scripts").glob("*.py"))}


def changed(project, file, old, new):
    """Return which scripts' digests change when a file is edited."""
    before = digests(project)
    path = project / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    after = digests(project)
    return {script for script in before if before[script] != after[script]}


def test_a_comment_a_docstring_and_the_layout_change_nothing(project):
    file = "unitscope/substitution.py"
    assert (
        changed(project, file, "MAX_SUBSTITUTES = 5", "# As many as fit in a row.\nMAX_SUBSTITUTES = (\n    5\n)")
        == set()
    )
    assert changed(project, file, '"""Return R[i, i] of every target', '"""Give R[i, i] of every target') == set()


def test_a_line_of_the_library_changes_the_scripts_that_import_it(project):
    found = changed(project, "unitscope/substitution.py", "MAX_SUBSTITUTES = 5", "MAX_SUBSTITUTES = 6")
    # The plan counts images of substitutes, and what reads a whole study hangs on it; no rule runs these.
    found -= {"layers", "plan", "study", "summary"}
    assert found == {"substitution", "scale", "natural", "reliability", "graph", "joint"}


def test_imports_are_followed_through_other_modules(project):
    # scripts/images.py imports visualization, which imports layers.
    found = changed(project, "unitscope/layers.py", 'if readout == "mean"', 'if "mean" == readout')
    assert {"images", "activations", "ablation", "taps"} <= found
    assert not found & {"selectivity", "substitution", "units", "correlations", "figures"}


def test_a_page_belongs_to_the_module_of_its_name(project):
    for name in ("page.html.jinja", "atlas.css", "main.js"):
        file = f"unitscope/pages/atlas/{name}"
        first = (project / file).read_text()[0]
        assert changed(project, file, first, f" {first}") == {"atlas"}


def test_a_script_changes_itself_alone(project):
    assert changed(project, "scripts/images.py", "out[name] = array", "out[name] = array[:]") == {"images"}


def test_what_a_person_sees_changes_nothing(project):
    assert (
        changed(project, "unitscope/console.py", "SECONDS_BETWEEN_LINES = 10.0", "SECONDS_BETWEEN_LINES = 5.0") == set()
    )


def test_comments_in_rules_change_nothing(project):
    rules = project / "rules/units.smk"
    before = rules_digest([rules])
    rules.write_text("# A comment.\n\n" + rules.read_text())
    assert rules_digest([rules]) == before
    text = rules.read_text()
    assert "gpu=GPU" in text
    rules.write_text(text.replace("gpu=GPU", "gpu=1", 1))
    assert rules_digest([rules]) != before


@pytest.mark.parametrize(
    "line",
    [
        "from .errors import UserError",
        "from .layers import taps",
        "from . import layers",
        "import unitscope.layers",
        "from unitscope import layers",
    ],
)
def test_every_form_of_import_is_followed(project, line):
    path = project / "unitscope/randomness.py"
    path.write_text(path.read_text().replace("import hashlib", f"import hashlib\n{line}", 1))
    # scripts/dataset.py needs randomness, and layers by this line alone.
    before = digests(project)["dataset"]
    path = project / "unitscope/layers.py"
    path.write_text(path.read_text() + "\nADDED = 1\n")
    assert (digests(project)["dataset"] != before) == ("layers" in line)


def test_a_name_that_is_no_module_is_refused(project):
    path = project / "scripts/images.py"
    path.write_text("from unitscope import class_selectivity\n" + path.read_text())
    with pytest.raises(UserError, match="class_selectivity"):
        digests(project)


def test_the_digest_covers_what_python_loads(project):
    for script in (project / "scripts").glob("*.py"):
        code = (
            f"import runpy, sys; sys.argv = ['x']; runpy.run_path({str(script)!r}, run_name='x'); "
            "print(*(name.split('.')[1] for name in sys.modules if name.startswith('unitscope.')))"
        )
        environment = {**os.environ, "PYTHONPATH": str(project)}
        said = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
        followed, waiting = set(), [script]
        while waiting:
            for module in provenance._imported(waiting.pop()) - followed:
                followed.add(module)
                waiting.append(project / f"unitscope/{module}.py")
        assert set(said.stdout.split()) <= followed, script.name


def test_a_listing_sees_names_and_sizes(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/1.png").write_bytes(b"one")
    before = listing_digest(tmp_path)
    os.utime(tmp_path / "cat/1.png", (1, 1))
    assert listing_digest(tmp_path) == before
    (tmp_path / "cat/2.png").write_bytes(b"two")
    more = listing_digest(tmp_path)
    (tmp_path / "cat/2.png").write_bytes(b"longer")
    assert len({before, more, listing_digest(tmp_path), listing_digest(tmp_path / "missing")}) == 4


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_other_labels_are_seen_though_a_file_is_as_large(tmp_path, kind):
    def digest(label):
        path = tmp_path / f"images.{kind}"
        arrays = {"images": np.zeros((9, 8, 8, 1), np.uint8), "labels": np.full(9, label)}
        if kind == "npz":
            np.savez(path, **arrays)
        else:
            with h5py.File(path, "w") as file:
                for name, values in arrays.items():
                    file[name] = values
        os.utime(path, (label, label))
        return path.stat().st_size, listing_digest(path)

    first, again, other = digest(1), digest(1), digest(2)
    assert first == again and first[0] == other[0] and first[1] != other[1]


def test_another_version_of_python_changes_no_digest(tmp_path):
    # In 3.12 trees got other fields and f-strings other words: these digests are those of 3.11, 3.12 and 3.13.
    (tmp_path / "code.py").write_text(
        "def told(x: int, *, y=None) -> str:\n"
        '    """Say it."""\n'
        "    return f'{x!r:>{y}} \"{x}\"' \"'s\" f\"{f'{y:.2f}'}\" + ', '.join(f\"{one}{f'{y}'}\" for one in 'ab')\n"
        "class Empty: pass\n"
    )
    (tmp_path / "rule.smk").write_text(
        'rule one:  # a comment\n    output: f"{x!r}/{{layer}}.{f\'{y}\'}" "beside"\n    shell: """a\n  {output:q}"""\n'
    )
    assert provenance._digest([provenance._plain(tmp_path / "code.py")]) == "04e3eb7213afdef4"
    assert rules_digest([tmp_path / "rule.smk"]) == "133fe141f3e69440"


# --- a network of the user's own -------------------------------------------------------------------------------------


def test_the_users_own_code_is_followed_through_its_imports(tmp_path, monkeypatch):
    def write(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    write("mine/__init__.py", "")
    write("mine/nets.py", "import torch\nfrom .blocks import Block\nfrom beside import width\n")
    write("mine/blocks.py", "class Block: pass\n")
    write("beside.py", "width = 3\n")
    write("unrelated.py", "x = 1\n")

    def digest():
        forget()
        return own_code_digest("mine.nets:network", tmp_path)

    before = digest()
    for name, text, other in (
        ("mine/blocks.py", "# A comment.\nclass Block: pass\n", False),
        ("unrelated.py", "x = 2\n", False),
        ("mine/blocks.py", "class Block: size = 1\n", True),
        ("beside.py", "width = 4\n", True),
        ("mine/__init__.py", "import sys\n", True),
    ):
        write(name, text)
        now = digest()
        assert (now != before) == other, name
        before = now


def test_own_code_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"there is no module nowhere\.nets"):
        own_code_digest("nowhere.nets:network", tmp_path)
