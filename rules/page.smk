# What the rules of the paper's page share: its experiments, figures and variants.

from unitscope.paper.comparison import numbered, reductions, variants
from unitscope.workflow.owners import refuse_foreign_page

PAPER = STUDY.reproduction
# As the page names them.
STUDY_FILES = [os.path.relpath(path, ROOT) for path in workflow.configfiles]
if not config.get("takeover", False):
    try:
        refuse_foreign_page(Path(PAPER["folder"], "README.md"), STUDY_FILES)
    except UserError as error:
        raise Error(f"{CONFIG}: {error}") from None
PAPER_VARIANTS = variants(STUDY)
PAPER_FIGURES = numbered(STUDY)


def measured_rules(name):
    """Return the rules of whose jobs an experiment may have benchmark files; a block's are among those of the images."""
    others = {rule for analysis, own in ANALYSES.items() if analysis not in analyses_of(name) for rule in own.rules}
    of_experiments = [rule for rule in workflow.rules if rule.benchmark and "experiment" in rule.wildcard_names]
    return [rule.name for rule in of_experiments if rule.name not in others | {"images_block"}]


PAPER_EXPERIMENTS = [
    {
        **{"name": name, "entry": recipe_of(STUDY, name), "dataset": STUDY.networks[chosen["network"]]["dataset"]},
        **{key: chosen[key] for key in ("network", "claims", "readout")},
        **{key: list(chosen[key]) for key in ("layers", "methods")},
        "rules": measured_rules(name),
    }
    for name, chosen in STUDY.experiments.items()
    if chosen["claims"]
]


def reduced():
    """Return the settings of this study that differ from those of the full one."""
    if not PAPER.get("full"):
        return []
    return reductions(STUDY, load_study(ROOT, ROOT / PAPER["full"]))


def compared_trainings():
    """Return the networks that the page compares by the length of their training."""
    return sorted({one["network"] for one in PAPER_VARIANTS if one["epochs"] is not None})


def datasets_of_the_paper():
    """Return the data sets of the networks that the page shows."""
    return sorted({one["dataset"] for one in PAPER_EXPERIMENTS} - {None})


def measured_sizes():
    """Return what jobs took at the full sizes, where the page shows that.

    Snakemake would take a page that is there for a source file, and leave it as it is.
    """
    path = PAPER["sizes"]
    if path and not Path(path).is_file():
        raise Error(
            f"reproduction.sizes is {path!r}, but there is no such file. It is the memory.csv of a study at the full "
            "sizes (such as paper/sizes.yaml); null shows none."
        )
    return [path] if path else []


def shown_images():
    """Return the images that Figure 2 shows."""
    name = PAPER_FIGURES.get("fig2")
    if name is None:
        return []
    layers = STUDY.experiments[name]["claims"]["C6"]["layers"]
    return pictures(name, layers, ["iam"])
