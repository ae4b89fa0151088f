"""Digests of code: they follow imports, and see neither comments nor docstrings."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from projects import move_module
from test_syntax import meaning_of

from unitscope.errors import UserError
from unitscope.storage.contents import Contents
from unitscope.workflow import provenance
from unitscope.workflow.provenance import (
    RunningCode,
    code_digest,
    modules_digest,
    rules_digest,
    source_digest,
    user_code_digest,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path):
    """Return a copy of the library and the scripts."""
    for folder in ("unitscope", "scripts", "rules"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def forget():
    """Let files be read again: a second change within a kernel tick leaves the same stamp."""
    for remembered in (provenance._read, provenance._packages, provenance._remembered, provenance._algorithm):
        remembered.cache_clear()


def digests(project):
    forget()
    return {path.stem: code_digest(path, project) for path in sorted((project / "scripts").rglob("*.py"))}


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
    file = "unitscope/scores/substitution.py"
    assert (
        changed(project, file, "MAX_SUBSTITUTES = 5", "# As many as fit in a row.\nMAX_SUBSTITUTES = (\n    5\n)")
        == set()
    )
    assert changed(project, file, '"""Return R[i, i] of every target', '"""Give R[i, i] of every target') == set()


def test_a_line_of_the_library_changes_the_scripts_that_import_it(project):
    scripts = changed(project, "unitscope/scores/substitution.py", "MAX_SUBSTITUTES = 5", "MAX_SUBSTITUTES = 6")
    assert scripts == {"substitution", "scale", "natural", "reliability", "graph", "joint", "layers"}


def test_imports_are_followed_through_other_modules(project):
    # scripts/images/images.py imports maximize, which imports layer.
    scripts = changed(project, "unitscope/probing/layer.py", 'if readout == "mean"', 'if "mean" == readout')
    assert {"images", "activations", "ablation", "taps"} <= scripts
    assert not scripts & {"selectivity", "substitution", "units", "layers", "figures"}


def test_web_files_belong_to_the_module_of_the_same_name(project):
    for name in ("page.html.jinja", "atlas.css", "main.js"):
        file = f"unitscope/atlas/web/{name}"
        first = (project / file).read_text()[0]
        assert changed(project, file, first, f" {first}") == {"atlas"}


WORDS = {
    "unitscope/data/datasets.py": ("has no classes: what needs labels is left out", "has no classes"),
    "unitscope/runtime/devices.py": ("GPUs are in use by other jobs. Waiting for one.", "GPUs are in use."),
    "unitscope/networks/checkpoints.py": ("raise UserError(", "raise UserError(f'{1 + 1}' + "),
    "unitscope/networks/training.py": ('"training", "epochs"', '"epochs of training", "epochs"'),
    "scripts/images/images.py": ('help="', 'help="Of one layer: '),
}


@pytest.mark.slow
@pytest.mark.parametrize("file", WORDS)
def test_reworded_messages_change_nothing(project, file):
    assert changed(project, file, *WORDS[file]) == set()


@pytest.mark.slow
def test_a_module_in_another_folder_changes_nothing(project):
    before = digests(project)
    for module in ("layer", "datasets", "substitution", "sources"):
        move_module(project, module, {"layer": "networks", "substitution": "tables"}.get(module, "inputs"))
    assert digests(project) == before
    # And it is followed there.
    assert changed(project, "unitscope/tables/substitution.py", "MAX_SUBSTITUTES = 5", "MAX_SUBSTITUTES = 6")
    scripts = changed(project, "unitscope/networks/layer.py", 'if readout == "mean"', 'if "mean" == readout')
    assert {"images", "activations", "ablation", "taps"} <= scripts and "selectivity" not in scripts


def test_package_init_modules_count(project):
    package = "unitscope/scores/__init__.py"
    (project / package).write_text("# Nothing.\n")
    scripts = changed(project, package, "# Nothing.", "from unitscope.interventions import scale")
    assert scripts >= {"substitution", "scale"}


def test_names_of_modules_are_unique():
    """A module counts by its name without its folders."""
    names = Counter(path.stem for path in (ROOT / "unitscope").rglob("*.py") if path.name != "__init__.py")
    packages = Counter(path.parent.name for path in (ROOT / "unitscope").rglob("__init__.py"))
    assert max((names + packages).values()) == 1


@pytest.mark.slow
def test_no_digest_depends_on_the_order_of_hashes(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/nets.py").write_text("import torch\nfrom . import a, b, c\nfrom .d import e\nimport other\n")
    for name in "abcd":
        (tmp_path / f"mine/{name}.py").write_text(f"{name} = 1\n")
    code = (
        "from pathlib import Path\n"
        "from unitscope.workflow.provenance import code_digest, user_code_digest\n"
        f"root = Path({str(ROOT)!r})\n"
        "print([code_digest(path, root) for path in sorted((root / 'scripts').rglob('*.py'))])\n"
        "print(user_code_digest('mine.nets:network', Path('.').resolve()))\n"
    )
    outputs = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        shutil.rmtree(tmp_path / ".snakemake", ignore_errors=True)
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_script_edits_change_only_the_digest_of_the_script(project):
    assert changed(project, "scripts/images/images.py", "out[name] = array", "out[name] = array[:]") == {"images"}


def test_display_settings_change_nothing(project):
    assert (
        changed(project, "unitscope/runtime/console.py", "SECONDS_BETWEEN_LINES = 10.0", "SECONDS_BETWEEN_LINES = 5.0")
        == set()
    )


def test_comments_in_rules_change_nothing(project):
    rules = project / "rules/activations.smk"
    before = rules_digest([rules])
    rules.write_text("# A comment.\n\n" + rules.read_text())
    assert rules_digest([rules]) == before
    text = rules.read_text()
    assert "gpu=GPU" in text
    rules.write_text(text.replace("gpu=GPU", "gpu=1", 1))
    assert rules_digest([rules]) != before


def test_module_digest_ignores_comments(project):
    jobs = project / "unitscope/workflow/jobs"
    before = modules_digest(jobs, project)
    path = jobs / "job_settings.py"
    path.write_text("# A comment.\n" + path.read_text())
    forget()
    assert modules_digest(jobs, project) == before
    # What they import has a digest of its own.
    resolve = project / "unitscope/config/resolve.py"
    resolve.write_text(resolve.read_text() + "\nADDED = 1\n")
    forget()
    assert modules_digest(jobs, project) == before
    path.write_text(path.read_text() + "\nADDED = 1\n")
    forget()
    assert modules_digest(jobs, project) != before


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "from .errors import UserError",
        "from .probing.layer import Layer",
        "from .probing import layer",
        "import unitscope.probing.layer",
        "from unitscope.probing import layer",
    ],
)
def test_every_form_of_import_is_followed(project, line):
    path = project / "unitscope/randomness.py"
    path.write_text(path.read_text().replace("import hashlib", f"import hashlib\n{line}", 1))
    # scripts/data/dataset.py needs randomness, and layers by this line alone.
    before = digests(project)["dataset"]
    path = project / "unitscope/probing/layer.py"
    path.write_text(path.read_text() + "\nADDED = 1\n")
    assert (digests(project)["dataset"] != before) == ("layer" in line)


@pytest.mark.parametrize("line", ["from unitscope import class_selectivity", "import unitscope"])
def test_unknown_module_is_refused(project, line):
    path = project / "scripts/images/images.py"
    path.write_text(f"{line}\n" + path.read_text())
    with pytest.raises(UserError, match=f"imports '{line.split()[-1]}' from unitscope"):
        digests(project)


def test_optional_modules_count_if_present(project):
    # The paper's claims.
    module = "unitscope/paper/figure_claims.py"
    assert {"claims", "atlas"} <= changed(project, module, "SELECTIVE = 0.5", "SELECTIVE = 0.6")
    before = digests(project)
    (project / "unitscope/paper/paper_claims.py").unlink()
    (project / "scripts/paper/reproduction.py").unlink()
    after = digests(project)
    assert {name for name in after if after[name] != before[name]} == {"claims", "atlas"}


@pytest.mark.slow
def test_the_digest_covers_what_python_loads(project):
    # Each script in a copy of a process that has loaded what is not ours: that takes a second every time.
    code = (
        "import os, pathlib, runpy, sys\n"
        "import h5py, jinja2, matplotlib.figure, networkx, scipy.stats, torch.export, torchvision, yaml\n"
        "for script in sys.argv[1:]:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        sys.argv = ['x']\n"
        "        runpy.run_path(script, run_name='x')\n"
        "        print(script, *(name.partition('.')[2] for name in sys.modules if name.startswith('unitscope.')))\n"
        "        sys.stdout.flush()\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(child, 0)[1] == 0, script\n"
    )
    scripts = sorted((project / "scripts").rglob("*.py"))
    done = subprocess.run(
        [sys.executable, "-c", code, *scripts],
        env={**os.environ, "PYTHONPATH": str(project)},
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = {Path(script): modules for script, *modules in map(str.split, done.stdout.splitlines())}
    assert list(loaded) == scripts and all(loaded.values())
    packages = {path.parent.name for path in (project / "unitscope").glob("*/__init__.py") if not path.read_text()}
    for script in scripts:
        followed = [script]
        for path in followed:
            followed += [file for file in provenance.imported(path, project) if file not in followed]
        modules = {".".join(path.relative_to(project / "unitscope").with_suffix("").parts) for path in followed[1:]}
        assert set(loaded[script]) <= modules | packages, script.name


# --- raw data --------------------------------------------------------------------------------------------------------


def digest_of(path, tmp_path):
    """Return the digest by a process that has the checksums of earlier ones."""
    contents = Contents(tmp_path / "sources")
    digest = source_digest(path, contents)
    contents.save()
    return digest


def test_folder_digest_covers_names_and_contents(tmp_path):
    folder = tmp_path / "images"
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    before = digest_of(folder, tmp_path)
    assert len(before) == 16
    os.utime(folder / "cat/1.png", (1, 1))
    (folder / ".DS_Store").write_bytes(b"hidden")
    assert digest_of(folder, tmp_path) == before
    seen = {before}
    for change in (
        # Two class folders are swapped: the same names and sizes.
        lambda: [(folder / old).rename(folder / new) for old, new in (("cat", "x"), ("dog", "cat"), ("x", "dog"))],
        lambda: (folder / "cat/1.png").write_bytes(b"CAT/1.png"),
        lambda: (folder / "cat/3.png").write_bytes(b"three"),
        lambda: (folder / "cat/3.png").unlink(),
        lambda: (folder / "dog/2.png").rename(folder / "dog/3.png"),
    ):
        change()
        seen.add(digest_of(folder, tmp_path))
    # The fourth undoes the third.
    assert len(seen) == 5


def test_link_digest_is_that_of_its_target(tmp_path):
    for name, content in {"one/a.png": b"one", "two/a.png": b"two"}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(content)
    (tmp_path / "images").mkdir()
    digests = set()
    for target in ("one", "two"):
        (tmp_path / "images/cat").unlink(missing_ok=True)
        (tmp_path / "images/cat").symlink_to(tmp_path / target)
        # In a circle.
        (tmp_path / target / "back").symlink_to(tmp_path / "images")
        digests.add(digest_of(tmp_path / "images", tmp_path))
    (tmp_path / "file.png").symlink_to(tmp_path / "one/a.png")
    digests.add(digest_of(tmp_path / "file.png", tmp_path))
    assert len(digests) == 3 and "" not in digests


def test_missing_raw_data_have_no_digest(tmp_path):
    (tmp_path / "mount").mkdir()
    assert digest_of(tmp_path / "nowhere", tmp_path) == digest_of(tmp_path / "mount", tmp_path) == ""


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_changed_labels_of_equal_size_are_detected(tmp_path, kind):
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
        return path.stat().st_size, digest_of(path, tmp_path)

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
    assert provenance._digest([meaning_of((tmp_path / "code.py").read_text(), head="")]) == "04e3eb7213afdef4"
    assert rules_digest([tmp_path / "rule.smk"]) == "133fe141f3e69440"


# --- a network of the user's own -------------------------------------------------------------------------------------


def test_user_code_is_followed_through_its_imports(tmp_path, monkeypatch):
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
        return user_code_digest("mine.nets:network", tmp_path)

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


def test_missing_user_code_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"there is no module nowhere\.nets"):
        user_code_digest("nowhere.nets:network", tmp_path)


# --- the code that runs ----------------------------------------------------------------------------------------------


def running(project, change="pass", change_back="pass", digest=None):
    """Run a script that loads one module late, between two changes; return how it ends."""
    (project / "unitscope/late.py").write_text("VALUE = 1\n")
    script = project / "scripts/late.py"
    script.write_text(
        "import time\nfrom pathlib import Path\nfrom unitscope.workflow import program\n\n\ndef main(arguments):\n"
        "    late = Path(__file__).parent.parent / 'unitscope/late.py'\n    " + change + "\n"
        "    from unitscope.late import VALUE\n    print('value', VALUE)\n    " + change_back + "\n\n\n"
        "if __name__ == '__main__':\n    program.run(program.parser(''), main)\n"
    )
    digest = code_digest(script, project) if digest is None else digest
    command = [sys.executable, script, "--code", digest]
    return subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(project)}, capture_output=True, text=True, check=False
    )


def test_a_program_refuses_code_of_another_digest(project):
    assert running(project).returncode == 0
    done = running(project, digest="0" * 16)
    assert done.returncode == 1 and "value" not in done.stdout
    assert "The code has changed" in " ".join(done.stderr.split()) and "Traceback" not in done.stderr
    # Changed, loaded, and changed back: the file is the same in the end.
    done = running(project, "late.write_text('VALUE = 2\\n')", "late.write_text('VALUE = 1\\n')")
    assert "value 2" in done.stdout and done.returncode == 1 and "The code has changed" in " ".join(done.stderr.split())


def test_comment_edited_during_a_run_is_ignored(project):
    assert running(project, "(late.parent / 'workflow/program.py').open('a').write('# A comment.\\n')").returncode == 0
    assert running(project, "Path(__file__).open('a').write('# A comment.\\n')").returncode == 0


def test_code_digest_includes_the_user_network(project):
    (project / "mine.py").write_text("width = 3\n")
    script = project / "scripts/images/images.py"
    digest = code_digest(script, project) + user_code_digest("mine:network", project)
    code = RunningCode(script, "mine:network", digest)
    code.check()
    (project / "mine.py").write_text("width = 12\n")
    with pytest.raises(UserError, match="The code has changed"):
        code.check()
    with pytest.raises(UserError, match="The code has changed"):
        RunningCode(script, "mine:network", digest)
