"""Texts that look like configs, and what has to hold of each."""

from pathlib import Path

import yaml
from hypothesis import strategies as st
from projects import SMALL
from ruamel.yaml import YAML

from unitscope.config.config_files import read, with_numbers
from unitscope.config.resolve import resolve
from unitscope.errors import UserError

STUDY = yaml.safe_dump(SMALL, sort_keys=False)

NO_TEXT = (
    *("3e4", "1_000", "on", "off", "no", "yes", "Yes", "true", "2020-01-01", "1:30", "~", "null", "0x1F", ".5", "1e-3"),
    *("017", "0o17", "0b11", "08", "+.5", "3", "-1", ".inf", ".nan", "1_0e5", "12:30:45", "190:20:30.15", "1e5", "1E5"),
)
"""Names that are a number, a boolean, null or a date to some reader of YAML."""

SCALARS = st.one_of(
    st.sampled_from(
        [*NO_TEXT, "x", "a b", "''", '"1"', "'a: b'", "[]", "{}", "*a", "&a x", "<<", "=", "!!str 1", "|", "@"]
    ),
    st.text("0123456789_.:eExob+-~ ", min_size=1, max_size=8),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.floats().map(repr),
    st.integers().map(str),
)
KEYS = st.one_of(
    st.sampled_from(["networks", "experiments", "datasets", "device", "defaults", "small", "layers", "training", "<<"]),
    SCALARS,
)
FLOWS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(KEYS, inner), max_size=3).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items) + "}"
        ),
    ),
    max_leaves=8,
)
TEXTS = st.one_of(
    st.lists(st.tuples(KEYS, FLOWS), min_size=1, max_size=4).map(
        lambda items: "\n".join(f"{key}: {value}" for key, value in items)
    ),
    st.tuples(st.sampled_from(STUDY.splitlines()), FLOWS).map(
        lambda pair: STUDY.replace(pair[0], pair[0] + pair[1], 1)
    ),
    st.tuples(st.sampled_from([": 1", ": mlp", ": cpu", ": digits", "- hidden1", ": 4"]), FLOWS).map(
        lambda pair: STUDY.replace(pair[0], pair[0][:2] + pair[1], 1)
    ),
    st.tuples(st.integers(0, len(STUDY)), st.text(max_size=3)).map(
        lambda pair: STUDY[: pair[0]] + pair[1] + STUDY[pair[0] :]
    ),
)


def check_text(folder: Path, text: str) -> None:
    """Read a text as a config: it is a study, or refused; and what is read is the same to Snakemake and DVC."""
    path = folder / "study.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        config = read(path)
        resolve(config, "study.yaml")
    except UserError:
        return
    assert with_numbers(yaml.load(path.read_text(), Loader=yaml.FullLoader), config) == config
    by_dvc = YAML(typ="safe").load(path.read_text())
    for section in ("datasets", "networks", "experiments"):
        assert list(by_dvc.get(section, {})) == list(config.get(section, {}))
    for section, key in (("networks", "dataset"), ("experiments", "network")):
        for name, settings_ in config[section].items():
            assert by_dvc[section][name].get(key) == settings_.get(key)
