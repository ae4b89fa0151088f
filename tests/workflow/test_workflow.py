"""The workflow as a whole: what every config plans, what the README draws, what the jobs import."""

import copy
import re
import shutil
import subprocess
import sys

import networkx as nx
import pytest
import yaml
from projects import ROOT, SMALL, Project

from unitscope.errors import UserError
from unitscope.workflow.flow import run_words
from unitscope.workflow.provenance import script_named
from unitscope.workflow.study import load_study

PLANNED = {
    "config.yaml": {"digits"},
    "configs/analyses.yaml": {"analyses", "analyses-untrained"},
    "configs/cifar10.yaml": {"cifar10"},
    "configs/imagenet.yaml": {"resnet50", "vit-b"},
    "configs/own_network.yaml": {"own-residual"},
    "configs/resnet18.yaml": {"my-resnet18"},
    "configs/timm.yaml": {"my-mobilenet"},
    "configs/training_time.yaml": {f"growing-epoch{epoch}" for epoch in (0, 1, 3, 12)},
    "paper/config.yaml": {
        *("mlp", "vgg16-cifar10", "vgg16-imagenet"),
        *(f"shallow-seed{seed}" for seed in range(5)),
        *(
            f"sensitivity{choice}-seed{seed}"
            for choice in ("", "-readout-max", "-readout-center", "-pool", "-batchnorm")
            for seed in range(2)
        ),
    },
    "paper/cpu.yaml": {
        "mlp-cpu",
        "vgg16-cifar10-cpu",
        "vgg16-imagenet-cpu",
        *(f"shallow-cpu-seed{seed}" for seed in range(5)),
        *(
            f"sensitivity-cpu{choice}-seed{seed}"
            for choice in ("", "-readout-max", "-readout-center", "-pool", "-epochs5", "-batchnorm")
            for seed in range(2)
        ),
    },
    "paper/sizes.yaml": {"mlp-sizes", "shallow-sizes", "vgg16-cifar10-sizes", "vgg16-imagenet-sizes"},
}
"""The experiments that each config of the project plans."""

DRAWN = ("paper/cpu.yaml", "configs/analyses.yaml", "configs/training_time.yaml")
"""Configs that have a job of every rule between them."""


@pytest.fixture(scope="session")
def clone(once) -> Project:
    """Return a clone in which nothing has been run, one for all workers: it remembers the layers of networks."""
    default = yaml.safe_load((ROOT / "config.yaml").read_text())
    return Project(once("clone", lambda folder: Project.create(folder / "project", default)) / "project")


def test_every_config_is_listed_here():
    config_files = [*ROOT.glob("configs/*.yaml"), *ROOT.glob("paper/*.yaml")]
    overlays = {"paper/folders.yaml", "paper/bfloat16.yaml", "paper/beyond.yaml", "paper/dvc.yaml"}
    assert set(PLANNED) | overlays == {"config.yaml", *(str(path.relative_to(ROOT)) for path in config_files)}


LARGE = ("configs/imagenet.yaml", "paper/config.yaml", "paper/sizes.yaml")
"""Configs of networks of a hundred million weights: their layers, which are looked up first, take most of a test."""


@pytest.mark.parametrize(
    "config", [pytest.param(config, marks=[pytest.mark.verify] * (config in LARGE)) for config in PLANNED]
)
def test_dry_run_plans_exactly_the_listed_experiments(clone, config):
    (clone.folder / "data/own/images").mkdir(parents=True, exist_ok=True)
    options = [] if config == "config.yaml" else ["--configfile", config]
    output = clone.run("snakemake", "-n", *options)
    assert set(re.findall(r"results/([^/]+)/units\.csv", output)) == PLANNED[config]
    assert "rule checkpoint" in output


def test_the_papers_images_may_come_from_a_folder(clone):
    study = ["--configfile", "paper/cpu.yaml"]
    downloaded, from_folders = (
        clone.run("snakemake", "-n", "-p", *study, *more) for more in ([], ["paper/folders.yaml"])
    )
    assert set(re.findall(r"results/([^/]+)/units\.csv", from_folders)) == PLANNED["paper/cpu.yaml"]
    assert "data/sources/cifar10" in from_folders
    assert "data/sources/cifar10" not in downloaded


def test_the_papers_study_may_be_in_bfloat16(clone):
    output = clone.run("snakemake", "-n", "-p", "--configfile", "paper/cpu.yaml", "paper/bfloat16.yaml")
    assert set(re.findall(r"results/([^/]+)/units\.csv", output)) == PLANNED["paper/cpu.yaml"]
    ascents = [line for line in output.splitlines() if "scripts/images/images.py" in line]
    rounded = {"vgg16-cifar10-cpu", "vgg16-imagenet-cpu"}
    for line in ascents:
        experiments = set(re.findall(r"results/([^/]+)/images/", line))
        assert experiments and ('"precision":"bfloat16"' in line) == (experiments <= rounded)
    assert rounded <= {name for line in ascents for name in re.findall(r"results/([^/]+)/images/", line)}
    trained = [text for text in re.findall(r"checkpoint.py .*--settings '([^']+)'", output) if '"epochs":' in text]
    assert len(trained) == 13 and all('"precision":"bfloat16"' in text for text in trained)


def test_batches_of_the_papers_study_fit_in_memory():
    # VGG16 at 224 pixels on a processor: 4.1 GB with 20 images in ablation, 3.9 GB with 16 in images, 3.8 GB with 20 in
    # activations. All images of a job stay in memory, which a block of units bounds.
    experiment = load_study(ROOT, ROOT / "paper/config.yaml").experiments["vgg16-imagenet"]
    for rule, most in (("activations", 16), ("ablation", 10), ("images", 8)):
        assert experiment[rule]["batch"] <= most
    assert experiment["images"]["block"] <= 64


def test_merged_configs_are_read_as_by_snakemake():
    study = load_study(ROOT, *(ROOT / f"paper/{name}.yaml" for name in ("cpu", "bfloat16", "folders")))
    training = study.networks["shallow-cpu-seed3"]["training"]
    assert training["precision"] == "bfloat16" and training["crop"] == 4
    assert study.datasets["cifar10"].path == "data/sources/cifar10"


def test_config_must_be_a_mapping(tmp_path):
    (tmp_path / "odd.yaml").write_text("- a list\n")
    with pytest.raises(UserError, match=r"odd\.yaml"):
        load_study(ROOT, ROOT / "config.yaml", tmp_path / "odd.yaml")


def test_config_on_the_command_line_equals_config_in_a_file(tmp_path):
    network = {"source": "python", "model": "mine:network", "options": {"hidden": 12, "flip": True, "tiny": 1}}
    training = {"epochs": 2, "learning_rate": 0.5}
    config = copy.deepcopy(SMALL)
    config["networks"]["small"] = {**network, "dataset": "digits", "training": training}
    project = Project.create(tmp_path / "project", config)
    (project.folder / "mine.py").write_text("def network(**options): ...\n")
    plan = ["snakemake", "-n", "-p", "--cores", "2", "data/checkpoints/small.pt"]

    def planned(*more):
        return re.findall(r"--settings ('[^']*')", project.run(*plan, *more))

    changed = {"hidden": 6, "flip": False, "tiny": 1e-3}
    options = "{hidden: 6, flip: false, tiny: 1e-3}"
    by_command = planned(
        "--config",
        f"networks={{small: {{options: {options}, training: {{epochs: 1, learning_rate: 0.25}}}}}}",
        'datasets={"digits": {"test_fraction": 0.5}}',
        "takeover=true",
    )
    project.change("networks.small.options", changed)
    project.change("networks.small.training", {"epochs": 1, "learning_rate": 0.25})
    project.change("datasets.digits.test_fraction", 0.5)
    assert len(by_command) == 2 and by_command == planned()
    assert '"flip":false' in by_command[1] and '"hidden":6' in by_command[1]
    output = project.try_to_run(*plan, "--config", "networks={small: {options: {flip: None}}}").stdout
    assert "--config networks: None is text to YAML. Write null" in output and "Traceback" not in output


def test_analyses_beyond_the_paper_are_planned(clone):
    output = clone.run("snakemake", "-n", "--configfile", "paper/cpu.yaml", "paper/beyond.yaml")
    planned = PLANNED["paper/cpu.yaml"] | {"shallow-untrained-cpu"}
    assert set(re.findall(r"results/([^/]+)/units\.csv", output)) == planned
    for seed in range(5):
        for artifact in ("graph", "inhibition.csv", "importance.csv", "images/conv1.iam_z.h5"):
            assert f"results/shallow-cpu-seed{seed}/{artifact}" in output


# Snakemake looks at the rules, not at their jobs: these have all of them.
@pytest.mark.parametrize("config", ["config.yaml", "paper/cpu.yaml"])
def test_lint(clone, config):
    options = [] if config == "config.yaml" else ["--configfile", config]
    assert "Congratulations" in clone.run("snakemake", "--lint", *options)


def test_dvc_has_one_stage_per_data_set_network_and_experiment(clone):
    stages = clone.run("dvc", "stage", "list", "--name-only").split()
    assert stages == ["study", "dataset@digits", "checkpoint@digits-convnet", "analysis@digits"]
    graph = clone.run("dvc", "dag", "--dot")
    edges = set(re.findall(r'"([^"]+)" -> "([^"]+)"', graph))
    assert {("study", "dataset@digits"), ("dataset@digits", "checkpoint@digits-convnet")} <= edges
    assert ("checkpoint@digits-convnet", "analysis@digits") in edges


def test_dvc_dependencies_contain_all_settings_of_a_stage(clone, tmp_path):
    def files(config):
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
        output = tmp_path / f"study{len(list(tmp_path.iterdir()))}"
        options = ("--config", str(tmp_path / "study.yaml"), "--output", str(output))
        clone.run("python", "-m", "unitscope", "study", *options)
        return {str(path.relative_to(output)): path.read_text() for path in output.rglob("*.json")}

    config = copy.deepcopy(SMALL)
    # The order is that of the config: what belongs to the first is none of the others'.
    small = config["networks"].pop("small")
    config["networks"]["own"] = {"source": "python", "model": "configs.own_network:network", "dataset": "digits"}
    config["networks"] |= {"small": small, "null": {**small, "training": {"epochs": 0}}}
    config["experiments"]["null"] = {**config["experiments"]["small"], "network": "null"}
    config["experiments"]["alone"] = {**config["experiments"]["small"]}
    config["experiments"]["small"] |= {
        "claims": {"C16": {"experiments": ["null"]}},
        "reliability": {"untrained": "null"},
    }
    before = files(config)
    assert '"own"' in before["networks/own.json"]
    # What rules ask for inputs and params is code of the experiments.
    assert {name.partition("/")[0] for name, text in before.items() if '"jobs"' in text} == {"experiments"}
    assert '"own"' not in "".join(text for name, text in before.items() if name != "networks/own.json")
    config["experiments"]["null"]["methods"] = {"am": {"steps": 9, "points": 2}, "iam": {"steps": 4, "points": 2}}
    recipe = files(config)
    assert {name for name in before if before[name] != recipe[name]} == {
        "experiments/null.json",
        "experiments/small.json",
    }
    # What is no longer named is gone, wherever the files went before.
    options = ("--config", str(tmp_path / "study.yaml"), "--output", str(tmp_path / "kept"))
    clone.run("python", "-m", "unitscope", "study", *options)
    (tmp_path / "kept/experiments/old.name.json").write_text("{}")
    clone.run("python", "-m", "unitscope", "study", *options)
    assert {path.stem for path in (tmp_path / "kept/experiments").iterdir()} == set(config["experiments"])
    config["networks"]["null"]["training"]["epochs"] = 2
    network = files(config)
    moved = {name for name in before if recipe[name] != network[name]}
    assert moved == {"networks/null.json", "experiments/small.json"}


def diagrams() -> list[str]:
    """Return the README's diagrams, a rule by its name where it stands as a label."""
    readme = (ROOT / "README.md").read_text()
    return re.findall(r"```mermaid\nflowchart LR\n(.*?)```", readme, re.DOTALL)


def named(diagram: str) -> str:
    """Return a diagram with labels in place of the names of nodes."""
    labels = dict(re.findall(r"(\w+)\[(\w+)\]", diagram))
    return re.sub(r"(\w+)(\[\w+\])?", lambda node: labels.get(node[1], node[1]), diagram)


def test_the_diagrams_in_the_readme_show_the_rules(clone):
    output = clone.run("snakemake", "--list-rules", "--configfile", "paper/cpu.yaml")
    rules = {line.strip() for line in output.splitlines() if re.fullmatch(r"\s*\w+\s*", line)}
    # Without those that write nothing.
    rules = {rule for rule in rules if not rule.startswith("experiment_")} - {"all", "networks"}
    assert set(re.findall(r"\w+", named("".join(diagrams())))) == rules
    readme = (ROOT / "README.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE)) == rules


def test_diagrams_are_valid_mermaid():
    """A node of these names is a syntax error, and the page shows nothing else."""
    reserved = {"graph", "subgraph", "flowchart", "end", "direction", "class", "style", "click", "default"}
    assert len(diagrams()) == 2
    for diagram in diagrams():
        assert not reserved & set(re.findall(r"\w+", re.sub(r"\[\w+\]", "", diagram)))


def test_setting_in_the_readme_exists_in_the_config():
    (path,) = re.findall(r"dvc exp run -S 'config\.yaml:([^=]+)=", (ROOT / "README.md").read_text())
    place = yaml.safe_load((ROOT / "config.yaml").read_text())
    for key in path.split("."):
        place = place[key]


def test_diagrams_show_the_dependencies_of_the_rules(clone):
    """All but what a longer way implies."""
    edges = set()
    for config in DRAWN:
        graph = clone.run("snakemake", "--rulegraph", "--configfile", config)
        names = dict(re.findall(r'(\d+)\[label = "(\w+)"', graph))
        edges |= {(names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", graph)}
    edges = {edge for edge in edges if "all" not in edge}
    loops = {(a, b) for a, b in edges if a == b}
    drawn = {edge for diagram in diagrams() for edge in re.findall(r"(?=\b(\w+) --> (\w+))", named(diagram))}
    assert drawn == loops | set(nx.transitive_reduction(nx.DiGraph(edges - loops)).edges)


def test_every_figure_caption_states_the_expectation():
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    figures = {name.rpartition(".")[2] for name in re.findall(r'[=\s]figure\("([^"]+)"', rules)}
    assert len(figures) >= 20
    captions = {name: (ROOT / f"rules/captions/{name}.rst").read_text() for name in figures}
    assert not [name for name, caption in captions.items() if "Chen et al. (2018)" not in caption]


@pytest.mark.verify
def test_report_contains_figures_and_tables_with_captions(project):
    # As on another machine, where Snakemake has no records of its own.
    shutil.rmtree(project.folder / ".snakemake/metadata")
    output = project.run("python", "-m", "unitscope", "report")
    assert "Missing metadata" not in output
    page = (project.folder / "report.html").read_text()
    for name in ("units.csv", "layers.csv", "selectivity_rs.png", "hidden1.am.sheet.png"):
        assert f"results/small/{name}" in page or f"results/small/figures/{name}" in page
    for caption in ("A mark is a unit", "Every correlation, a row a layer", "too large to stand in this one"):
        assert caption in page


def test_report_is_refused_for_stale_results(project):
    project.change("experiments.small.methods.am.steps", 6)
    done = project.try_to_run("python", "-m", "unitscope", "report")
    assert done.returncode == 1 and "No report is written" in " ".join(done.stdout.split())
    assert not (project.folder / "report.html").exists()


def test_cores_are_limited_to_the_processors(clone, tmp_path):
    from unitscope.runtime.console import processors

    output = clone.copy(tmp_path / "project").run("snakemake", "--cores", "1000", "data/datasets/digits.h5")
    assert f"Provided cores: {processors()}" in output


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ("config.yaml", ""),
        ("paper/cpu.yaml", " --configfile paper/cpu.yaml"),
        ("paper/cpu.yaml paper/bfloat16.yaml", " --configfile paper/cpu.yaml paper/bfloat16.yaml"),
        ("config.yaml paper/folders.yaml", " --configfile config.yaml paper/folders.yaml"),
    ],
)
def test_make_passes_all_configs(config, options):
    done = subprocess.run(
        ["make", "--dry-run", "run", f"CONFIG={config}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"unitscope run --cores 8 {config}\n" in done.stdout
    assert run_words(config.split(), "8", 1) == f"snakemake --cores 8 --resources gpu=1{options}".split()


def test_cpu_jobs_request_no_gpu(clone, tmp_path):
    config = tmp_path / "cpu.yaml"
    config.write_text(yaml.safe_dump(SMALL))
    plan = ("snakemake", "-n", "--configfile", str(config))
    assert "gpu=1" not in clone.run(*plan)
    config.write_text(yaml.safe_dump({**SMALL, "device": "cuda"}))
    assert "gpu=1" in clone.run(*plan)


@pytest.mark.parametrize("script", sorted(path.stem for path in (ROOT / "scripts").rglob("*.py")))
def test_every_script_has_help_and_imports_only_what_it_uses(script):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", script_named(script, ROOT), "--help"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "usage:" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "unitscope.runtime.console" in imported
    never = {"torchvision", "pandas", "snakemake", "dvc", "typer", "mlxtend", "torch._dynamo", "sklearn"}
    options = set(re.findall(r"--[a-z-]+", done.stdout))
    # Tensors are of those that run a network, figures of those that write some, tests of those that judge.
    if not options & {"--checkpoint", "--device"}:
        never |= {"torch"}
    never |= {"matplotlib.pyplot"} if options & {"--output-dir", "--figure"} else {"matplotlib"}
    if not re.search(r"unitscope\.(claims|paper|stats\.effects)", script_named(script, ROOT).read_text()):
        never |= {"scipy.stats"}
    assert not imported & never


def test_the_conda_environment_follows_the_lock_file():
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\n]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    pins = yaml.safe_load((ROOT / "envs/unitscope.yaml").read_text())["dependencies"][-1]["pip"]
    project = (ROOT / "pyproject.toml").read_text()
    pairs = dict(line.split("==") for line in pins)
    # A package has two versions in the lock where Python's own version decides; the first is that of the oldest.
    first: dict[str, str] = {}
    for name, version in re.findall(
        r"^([a-z0-9-]+)==([^ ;\n]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    ):
        first.setdefault(name, version)
    assert locked
    assert pairs == {name: first[name] for name in pairs}
    needed = set(re.findall(r'^  "([a-z0-9-]+)>=', project.partition("[project.optional")[0], re.MULTILINE))
    assert set(pairs) == needed - {"dvc", "platformdirs", "psutil", "snakemake", "pandas", "typer"}


def test_lock_files_agree():
    # Versions, not the platforms they are for: what the tests need may need a package everywhere.
    def pins(name):
        return set(re.findall(r"^([a-z0-9-]+==[^ ;\n]+)", (ROOT / name).read_text(), re.MULTILINE))

    assert pins("requirements.lock") <= pins("requirements-test.lock") <= pins("requirements-verify.lock")


def test_snakemake_and_dvc_are_imported_in_one_package_each():
    """Which package imports from which is import-linter's to hold (pyproject.toml)."""
    for path in (ROOT / "unitscope").rglob("*.py"):
        engines = {"snakemake_internals": "scripts|dvc", "store": "scripts|snakemake"}.get(
            path.parent.name, "scripts|snakemake|dvc"
        )
        assert not re.search(rf"^\s*(from|import) ({engines})", path.read_text(), re.MULTILINE), path


def test_snakemake_schedules_after_finished_jobs_instead_of_polling(project):
    project.change("experiments.small.methods.am.steps", 6)
    output = project.snakemake("--verbose")
    assert 1 < output.count("Ready jobs:") <= output.count("Finished jobid") + 1
