"""The programs of the rules: each is one file that parses, calls the library and writes, and can be run by hand."""

import ast
import functools
import importlib.util
import re
import sys
from pathlib import Path

import pytest
from projects import ROOT

PROGRAMS = sorted((ROOT / "scripts").rglob("*.py"))
NAMES = [str(path.relative_to(ROOT / "scripts")) for path in PROGRAMS]
RULES = {
    name for file in (ROOT / "rules").glob("*.smk") for name in re.findall(r"^rule (\w+):", file.read_text(), re.M)
}


@functools.cache
def loaded(path: Path):
    """Return a program as a module, without running it."""
    spec = importlib.util.spec_from_file_location(f"program_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", PROGRAMS, ids=NAMES)
def test_help_describes_the_program_and_every_option(path):
    module = loaded(path)
    parser = module.parser()
    text = " ".join(parser.format_help().split())
    assert " ".join(ast.get_docstring(ast.parse(path.read_text())).split("\n\n")[0].split()) in text
    assert callable(module.main)
    for action in parser._actions:
        assert action.help, f"{path.name} does not say what {action.option_strings} is"


@pytest.mark.parametrize("path", PROGRAMS, ids=NAMES)
def test_missing_arguments_end_with_code_2_and_the_usage(path, capsys):
    parser = loaded(path).parser()
    required = [action.option_strings[0] for action in parser._actions if action.required]
    assert required
    with pytest.raises(SystemExit) as ended:
        parser.parse_args([])
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert "usage:" in printed and all(option in printed for option in required)


def test_settings_that_are_no_json_are_refused_in_one_line(capsys):
    parsers = [loaded(path).parser() for path in PROGRAMS]
    with_settings = [parser for parser in parsers if "--settings" in parser._option_string_actions]
    assert len(with_settings) > 20
    for parser in with_settings:
        with pytest.raises(SystemExit):
            parser.parse_args(["--settings", "{not json"])
        assert "--settings" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("path", PROGRAMS, ids=NAMES)
def test_imports_are_absolute_and_of_the_library_alone(path):
    scripts = {program.stem for program in PROGRAMS}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module
            assert node.module.partition(".")[0] not in scripts
            assert not node.module.startswith(("unitscope.api", "unitscope.cli", "unitscope.config.registry"))
        if isinstance(node, ast.Import):
            assert not scripts & {name.name for name in node.names} - set(sys.stdlib_module_names)


def test_programs_have_names_of_rules():
    # One program serves several rules where they differ in their inputs alone.
    assert {path.stem for path in PROGRAMS} - RULES <= {"images", "cumulative"}
    assert len({path.stem for path in PROGRAMS}) == len(PROGRAMS)
