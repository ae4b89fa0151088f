# The page that compares all experiments of a study with the paper.

from unitscope.config import read
from unitscope.reproduction import numbered, reductions

PAPER = STUDY.reproduction or {"folder": "paper", "full": None}
PAPER_FIGURES = numbered(STUDY) if STUDY.reproduction else {}
PAPER_EXPERIMENTS = [
    {"name": name, "entry": STUDY.entries[name], "network": chosen["network"], "claims": chosen["claims"]}
    for name, chosen in STUDY.experiments.items()
    if chosen["claims"] and STUDY.reproduction
]


def reduced():
    """Return the settings of this study that are less than those of the full one."""
    if not PAPER["full"]:
        return []
    return reductions(STUDY, resolve(read(ROOT / PAPER["full"]), SCHEMA, PAPER["full"]))


def shown_images():
    """Return the images that Figure 2 shows."""
    name = PAPER_FIGURES.get("fig2")
    if name is None:
        return []
    layers = STUDY.experiments[name]["claims"]["C6"]["layers"]
    return expand("results/{name}/images/{layer}.iam.h5", name=name, layer=layers)


rule reproduction:
    input:
        units=[f"results/{one['name']}/units.csv" for one in PAPER_EXPERIMENTS],
        layers=[f"results/{one['name']}/layers.csv" for one in PAPER_EXPERIMENTS],
        claims=[f"results/{one['name']}/claims.csv" for one in PAPER_EXPERIMENTS],
        records=[f"data/checkpoints/{one['network']}.json" for one in PAPER_EXPERIMENTS],
        images=shown_images(),
        template="paper/README.md.jinja",
    output:
        page=f"{PAPER['folder']}/README.md",
        figures=expand("{folder}/{figure}.png", folder=PAPER["folder"], figure=list(PAPER_FIGURES)),
        tables=expand(
            "{folder}/{name}/{table}.csv",
            folder=PAPER["folder"],
            name=[one["name"] for one in PAPER_EXPERIMENTS],
            table=["units", "layers", "claims"],
        ),
    log:
        "logs/reproduction.log",
    conda:
        "../envs/unitscope.yaml"
    params:
        experiments=canonical_json(PAPER_EXPERIMENTS),
        figures=canonical_json(PAPER_FIGURES),
        reductions=canonical_json(reduced()),
        config=" ".join(os.path.relpath(path, ROOT) for path in workflow.configfiles),
        full=PAPER["full"] or "",
        folder=PAPER["folder"],
        code=code("reproduction"),
    shell:
        "python scripts/reproduction.py --experiments {params.experiments:q} --results results"
        " --checkpoints data/checkpoints --images {input.images:q} --figures {params.figures:q}"
        " --reductions {params.reductions:q} --config {params.config:q} --full {params.full:q} --logs logs"
        " --template {input.template:q} --output-dir {params.folder:q} --log {log:q}"
