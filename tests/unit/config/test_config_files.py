"""Configs as files: what is refused with its line, and that every reader of YAML sees the same values."""

import copy
import os
from pathlib import Path

import pytest
import yaml
from config_texts import NO_TEXT, STUDY, TEXTS, check_text
from hypothesis import example, given, settings
from projects import ROOT, SMALL
from ruamel.yaml import YAML
from snakemake.utils import update_config

from unitscope.config.config_files import merged, read, read_all, with_arguments, with_numbers
from unitscope.config.resolve import resolve
from unitscope.errors import UserError
from unitscope.networks.weight_files import checked_content
from unitscope.storage.contents import Contents
from unitscope.workflow.study import complete, load_study


def refused(tmp_path, content):
    """Return what is said of a config that has to be refused, without the folder."""
    path = tmp_path / "study.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        resolve(read_all([path]), str(path))
    message = str(error.value)
    assert "\n" not in message and len(message) < 700
    return message.replace(f"{tmp_path}/", "")


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", ["study.yaml, line 3: the key 'a' occurs twice (first in line 1)"]),
        ("a:\n  b: {c: 1, d: 2, 'c': 3}\n", ["line 2: a.b: the key 'c' occurs twice"]),
        ('a: 1\n"a": 2\n', ["line 2", "'a' occurs twice"]),
        ("a: 1\n? a\n: 2\n", ["line 2", "'a' occurs twice"]),
        ("l:\n- x: 1\n- y: 1\n  y: 2\n", ["line 4: l.1: the key 'y' occurs twice"]),
        ('{"a": 1,\n "\\u0061": 2}', ["line 2", "'a' occurs twice"]),
        ("a: &a {x: 1}\nb: &b {y: 1}\nc:\n  <<: *a\n  <<: *b\n", ["line 5: c: the key '<<'", "<<: [*a, *b]"]),
        ("a: {1: x, '1': y}", ["line 1: a: ", "1"]),
    ],
)
def test_duplicate_keys_are_refused_with_their_line(tmp_path, text, words):
    message = refused(tmp_path, text)
    assert [word for word in words if word not in message] == [], message


def test_merge_keys_follow_yaml(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        "a: &a {x: 1, y: 1}\nb: &b {<<: *a, y: 2, z: 2}\nc: {x: 3, <<: [*b, *a]}\nd: {<<: [*a, *b], z: 4}\n"
        "e: *a\nf: [*a, *b]\n"
    )
    config = read(path)
    assert config == yaml.safe_load(path.read_text()) == YAML(typ="safe").load(path.read_text())
    assert config["c"] == {"x": 3, "y": 2, "z": 2} and config["d"] == {"x": 1, "y": 1, "z": 4}


@pytest.mark.parametrize("name", NO_TEXT)
def test_ambiguous_names_must_be_quoted(tmp_path, name):
    keys = {
        "experiments": f"experiments:\n  {name}: {{network: small, layers: [a]}}\nnetworks: {{}}\n",
        "networks": f"networks:\n  {name}: {{model: mlp}}\n",
        "datasets": f"datasets:\n  {name}: {{source: arrays}}\n",
        "experiments.e.layers": f"experiments: {{e: {{network: n, layers: {{\n  {name}: {{}}}}}}}}",
        "experiments.e.methods": f"experiments: {{e: {{network: n, methods: {{\n  {name}: {{}}}}}}}}",
        "networks.n.options": f"networks: {{n: {{options: {{\n  {name}: 1}}}}}}",
    }
    for where, text in keys.items():
        message = refused(tmp_path, text)
        assert f"line 2: {where}: the name {name} is " in message and f'Put it in quotes: "{name}".' in message
        # In quotes it is a name to all.
        (tmp_path / "study.yaml").write_text(text.replace(name, f'"{name}"'))
        assert read(tmp_path / "study.yaml") == yaml.safe_load((tmp_path / "study.yaml").read_text())


@pytest.mark.parametrize("name", NO_TEXT)
@pytest.mark.parametrize(
    "path",
    [
        *("experiments.small.network", "networks.small.dataset", "networks.small.model"),
        *("experiments.small.layers", "experiments.small.methods"),
    ],
)
def test_names_as_values_must_be_text(tmp_path, name, path):
    config = yaml.safe_load(STUDY)
    section, entry, key = path.split(".")
    config[section][entry][key] = ["NAME"] if key in ("layers", "methods") else "NAME"
    message = refused(tmp_path, yaml.safe_dump(config).replace("NAME", name))
    if name in ("~", "null") and path == "networks.small.dataset":
        assert "neither a dataset nor an input" in message
    else:
        assert path in message and ("uotes" in message or "not a finite number" in message), message


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(
            ("1e-3", 0.001),
            ("1E-3", 0.001),
            ("1e5", 1e5),
            ("1.5e3", 1500.0),
            ("+.5", 0.5),
            (".5e1", 5.0),
            ("-1e5", -1e5),
        ),
        *(("1.0e-3", 0.001), ("0.001", 0.001), ("1_000", 1000), ("0x1F", 31), ("5.", 5.0), ("0", 0), ("+1", 1)),
    ],
)
def test_numbers_that_snakemake_reads_as_text_are_converted(tmp_path, text, number):
    path = tmp_path / "study.yaml"
    path.write_text(f"a: {text}\nb: {{c: [x, {text}]}}\nd: '{text}'\n")
    config = read(path)
    assert config == {"a": number, "b": {"c": ["x", number]}, "d": text}
    assert type(config["a"]) is type(number)
    # And what Snakemake has read becomes the same; what --config has changed stays.
    by_snakemake = yaml.load(path.read_text(), Loader=yaml.FullLoader)
    assert with_numbers(by_snakemake, config) == config
    assert with_numbers({**by_snakemake, "a": "cpu", "new": [1]}, config) == {**config, "a": "cpu", "new": [1]}


@pytest.mark.parametrize(
    "text",
    [
        "{b: {n: 6, half: .5, tiny: 1e-3, flip: false, shut: no, none: null, empty: , list: [1, 'x', true]}}",
        "{'b': {'n': 6, 'half': 0.5, 'tiny': 0.001, 'flip': False, 'shut': False, 'none': null, 'empty': null, "
        "'list': [1, 'x', True]}}",
        '{"b": {"n": 6, "half": 0.5, "tiny": 1e-3, "flip": false, "shut": false, "none": null, "empty": null, '
        '"list": [1, "x", true]}}',
    ],
)
def test_values_of_arguments_are_read_as_in_a_file(text):
    written = {"aa": text, "bb": "true", "cc": '{n: "6", flip: "false", none: "None"}'}
    config = {"aa": {"b": {"n": 1, "kept": 3}}}
    # As Snakemake reads them.
    update_config(config, {key: yaml.load(value, Loader=yaml.BaseLoader) for key, value in written.items()})
    values = {"n": 6, "half": 0.5, "tiny": 0.001, "flip": False, "shut": False, "none": None, "empty": None}
    assert with_arguments(config, written.items()) == {
        "aa": {"b": {**values, "list": [1, "x", True], "kept": 3}},
        "bb": True,
        "cc": {"n": "6", "flip": "false", "none": "None"},
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{b: None}", "None is text to YAML. Write null"),
        ("{b: 017}", "line 1: b: 017 is octal"),
        ("{b: 1, b: 2}", "'b' occurs twice"),
        ("{b: 1", "not valid YAML"),
        ("{b: !!python/name:os.system x}", "not allowed"),
    ],
)
def test_arguments_are_validated_like_files(text, words):
    with pytest.raises(UserError) as error:
        with_arguments({}, [("networks", text)])
    assert str(error.value).startswith("--config networks") and words in str(error.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (".inf", "not a finite number"),
        ("-.INF", "not a finite number"),
        (".nan", "not a finite number"),
        ("1e400", "not a finite number"),
        ("1" + "0" * 30, "beyond 64 bits"),
        ("9" * 5000, "not a finite number"),
        ("1:30", "base 60"),
        ("017", "octal"),
        ("0o17", "octal"),
        ("1,5", "Write 1.5"),
        ("'1e-3'", "Write 0.001, without quotes"),
        ("1_0e5", "without '_'"),
        ("2020-01-01", "is a date"),
        ("!!float 1", "the tag !!float is not allowed"),
        ("ten", "of type number"),
        ("true", "of type number"),
    ],
)
def test_invalid_numbers_are_reported_with_their_key(tmp_path, value, words):
    text = STUDY.replace("epochs: 1", f"epochs: 1\n      learning_rate: {value}")
    message = refused(tmp_path, text)
    assert words in message and ("learning_rate" in message or "line 16" in message), message


def test_integers_are_written_without_decimals(tmp_path):
    message = refused(tmp_path, STUDY.replace("epochs: 1", "epochs: 1e3"))
    assert "networks.small.training.epochs is 1000.0" in message and "Write 1000." in message


# --- whole files -----------------------------------------------------------------------------------------------------

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "study.yaml: the config is empty"),
        ("# nothing\n", "study.yaml: the config is empty"),
        ("- a\n- b\n", "the config is a list"),
        ("text", "the config is the value 'text'"),
        ("experiments: [", "study.yaml, line 2: not valid YAML"),
        ("a:\n\tb: 1\n", "line 2: not valid YAML: found character '\\t' that cannot start any token. Indent with"),
        ("a: 1\nb:\tcpu\n", "line 2: not valid YAML: found character '\\t' that cannot start any token. Write spaces"),
        ("a: 1\nb: 2\t# x\n", "line 2: not valid YAML"),
        ("a: {b: 1,\tc: 2}\n", "line 1: not valid YAML"),
        ("a: 1\r\nb: x\u2028y\n", "line 2: it holds the character U+2028, at which a line ends for some programs"),
        ("a: 1\x85b: 2\n", "line 1: it holds the character U+0085"),
        ("a: b: c\n", "line 1: not valid YAML: mapping values are not allowed in this context. Put text"),
        ("a: *nothing\n", "undefined alias"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        (
            "a: 1\nb: caf\xe9\n".encode("latin-1"),
            "line 2: the config is not YAML in UTF-8 (byte 0xe9). Save it as UTF-8",
        ),
        ("a: 1\n".encode("utf-16"), "not YAML in UTF-8"),
        (b"a: x\0y\n", "not valid YAML"),
        ("a: &a [*a]\n", "line 1: a.0: contains itself through an alias"),
        ("a: &a {b: {c: *a}}\n", "a.b.c: contains itself"),
        ("a: &a {<<: *a}\n", "contains itself"),
        (BOMB, "more than 200,000 values, aliases included"),
        ("[" * 100_000, "line 1: nested more than 50 levels deep"),
        ("".join(" " * i + "a:\n" for i in range(300)), "line 51: nested more than 50 levels deep"),
        ("- " * 5000 + "x", "nested more than 50 levels deep"),
        (b"a: 1\n" + b"#" * 3_000_000, "study.yaml: larger than 2 MiB"),
        ("a: !!python/object/apply:os.system [x]\n", "line 1: the tag !!python/object/apply:os.system is not allowed"),
        ("a: !!binary aGk=\n", "the tag !!binary is not allowed"),
        ("a: !!set {x}\n", "the tag !!set is not allowed"),
        ("a: ! x\n", "the tag ! is not allowed"),
        ("? [a, b]\n: 1\n", "line 1: a key is a list or a mapping"),
        ("a:\n  ? \n  : 1\n", "line 2: a: the name (empty) is null to YAML"),
        ("a: =\n", 'line 1: a: = is a special character to YAML. Put it in quotes: "="'),
        ("a: {<<: 3}\n", "<< merges a mapping"),
        (b'networks: {n: {options: {x: "a\\0b"}}}\n', "networks.n.options.x: contains the control character U+0000"),
        (b'networks: {n: {model: "a\\nb"}}\n', "networks.n.model: contains the control character U+000A"),
        (b'networks: {"a\\x1bb": {}}\n', "networks: the name 'a\\x1bb' contains the control character U+001B"),
        (b'experiments: {"a\\ud800": 1}\n', "line 1: not valid YAML"),
        ("__use_yte__: true\na: 1\n", "line 1: the key '__use_yte__' makes the config a template"),
        ("a: 1\n__definitions__:\n- import os\n", "line 2: the key '__definitions__' makes the config a template"),
    ],
)
def test_files_that_are_not_configs(tmp_path, content, words):
    assert words in refused(tmp_path, content)


def test_weights_file_must_be_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "weights.pt")
    assert Contents(None).sha256(str(tmp_path / "weights.pt")) == ""
    for path in (tmp_path / "weights.pt", Path("/dev/zero"), Path("a\0b")):
        with pytest.raises(UserError, match="is not a file"):
            checked_content(path, "0" * 64)


def test_files_that_cannot_be_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, words in [
        (tmp_path / "none.yaml", "does not exist"),
        (tmp_path, "is not a file"),
        (tmp_path / "pipe", "is not a file"),
        (tmp_path / "a\0b", "Name another file"),
        (tmp_path / ("a" * 300), "Name another file"),
    ]:
        with pytest.raises(UserError, match=words):
            read(path)


@pytest.mark.parametrize(
    "change", [lambda b: b"\xef\xbb\xbf" + b, lambda b: b.replace(b"\n", b"\r\n"), lambda b: b + b"\n...\n"]
)
def test_files_with_other_encodings_and_line_ends_are_read(tmp_path, change):
    path = tmp_path / "study.yaml"
    path.write_bytes(change(STUDY.encode()))
    assert read(path) == SMALL


def test_multiline_text_is_a_network_option(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("options:", "options:\n      text: |\n        one\n        two"))
    assert read(path)["networks"]["small"]["options"]["text"] == "one\ntwo\n"
    resolve(read(path), "study.yaml")


def test_configs_are_merged(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "more.yaml").write_text("networks: {small: {training: {learning_rate: 1e-2}}}")
    config = read_all([tmp_path / "study.yaml", tmp_path / "more.yaml"])
    assert config == merged(SMALL, {"networks": {"small": {"training": {"learning_rate": 0.01}}}})
    (tmp_path / "more.yaml").write_text("")
    with pytest.raises(UserError, match=r"more\.yaml: the config is empty"):
        read_all([tmp_path / "study.yaml", tmp_path / "more.yaml"])


# --- any text --------------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(text=TEXTS)
@example(text=STUDY)
@example(text=STUDY.replace("small", "'3e4'"))
def test_arbitrary_text_is_a_valid_config_or_refused(tmp_path_factory, text):
    check_text(tmp_path_factory.getbasetemp(), text)


def test_every_config_of_the_project_is_read_as_by_snakemake_and_dvc():
    for path in [ROOT / "config.yaml", *ROOT.glob("configs/*.yaml"), *ROOT.glob("paper/*.yaml")]:
        text = path.read_text()
        assert read(path) == yaml.safe_load(text) == YAML(typ="safe").load(text)


def test_a_setting_that_is_not_allowed_is_reported_with_its_line(tmp_path):
    path, more = tmp_path / "study.yaml", tmp_path / "more.yaml"
    path.write_text(STUDY)
    lines = {
        "epochs: 1": ("epochs: ten", 15, "networks.small.training.epochs is 'ten'"),
        "- hidden1": ("- 3", 20, "experiments.small.layers holds 3"),
        "analyses: []": ("analysis: []", 31, "experiments.small has the unknown key 'analysis'"),
        "experiments:\n  small:": ("experiments:\n  a b:", 17, "experiments: 'a b' is not allowed"),
        "device: cpu": ('device: "a\\0b"', 1, "device: contains the control character"),
        "permutations: 99": ("permutations: 1" + "0" * 20, 29, "experiments.small.statistics.permutations"),
    }
    for old, (new, line, words) in lines.items():
        assert old in STUDY
        path.write_text(STUDY.replace(old, new))
        with pytest.raises(UserError) as error:
            load_study(ROOT, path)
        assert f"study.yaml, line {line}: {words}" in str(error.value)
    # Of several files, in the one that holds the value.
    path.write_text(STUDY)
    more.write_text("device: cuda\nnetworks:\n  small:\n    training: {epochs: ten}\n")
    with pytest.raises(UserError, match=r"more\.yaml, line 4: networks\.small\.training\.epochs is 'ten'"):
        load_study(ROOT, path, more)
    # What is nowhere in the files, such as what --config gives, has no line.
    with pytest.raises(UserError, match=r"^study\.yaml: device is 'gpu'"):
        complete({**SMALL, "device": "gpu"}, "study.yaml", ROOT, paths=[path])


@pytest.mark.parametrize("base", [[1], {"b": 1}, None, "x", {}, {"b": {"c": 1}}])
@pytest.mark.parametrize("over", [{}, [2], {"b": {}}, {"b": 2}, None, {"d": {}}])
def test_configs_are_merged_as_by_snakemake(base, over):
    expected = {"a": copy.deepcopy(base)}
    update_config(expected, {"a": copy.deepcopy(over)})
    assert merged({"a": base}, {"a": over}) == expected
