# The page that compares all experiments of a study with the paper, and what their jobs took.

from unitscope.paper.comparison import numbered, reductions, variants
from unitscope.paper.page_inputs import (
    compared_trainings,
    measured_sizes,
    page_experiments,
    shown_datasets,
    shown_layers,
)
from unitscope.workflow.owners import refuse_foreign_page
from unitscope.workflow.snakemake_internals.rule_files import benchmarked_rules

PAPER = STUDY.reproduction
# As the page names them.
STUDY_FILES = [os.path.relpath(path, ROOT) for path in workflow.configfiles]
PAPER_EXPERIMENTS = page_experiments(STUDY, benchmarked_rules(workflow))
PAPER_VARIANTS = variants(STUDY)
PAPER_FIGURES = numbered(STUDY)
PAPER_IMAGES = shown_layers(STUDY, PAPER_FIGURES)
try:
    if not config.get("takeover", False):
        refuse_foreign_page(Path(PAPER["folder"], "README.md"), STUDY_FILES)
    PAPER_SIZES = measured_sizes(PAPER["sizes"])
    # The settings of this study that differ from those of the full one.
    PAPER_REDUCTIONS = reductions(STUDY, load_study(ROOT, ROOT / PAPER["full"])) if PAPER.get("full") else []
except UserError as error:
    raise Error(f"{CONFIG}: {error}") from None


# Known when all jobs are done.
rule memory:
    input:
        [final_files(STUDY, one["name"]) for one in PAPER_EXPERIMENTS],
    output:
        f"{PAPER['folder']}/memory.csv",
    log:
        "logs/memory.log",
    benchmark:
        "logs/memory.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        experiments=canonical_json(PAPER_EXPERIMENTS),
        code=code("memory"),
    shell:
        program("memory")
        + " --experiments {params.experiments:q} --logs logs --output {output:q} --code {params.code:q} --log {log:q}"


rule reproduction:
    input:
        units=[f"results/{one['name']}/units.csv" for one in PAPER_EXPERIMENTS],
        layers=[f"results/{one['name']}/layers.csv" for one in PAPER_EXPERIMENTS],
        claims=[f"results/{one['name']}/claims.csv" for one in PAPER_EXPERIMENTS],
        records=[f"data/checkpoints/{one['network']}.json" for one in PAPER_EXPERIMENTS],
        trained=expand("data/checkpoints/{network}.json", network=compared_trainings(PAPER_VARIANTS)),
        datasets=expand("data/datasets/{dataset}.h5", dataset=shown_datasets(PAPER_EXPERIMENTS)),
        images=FILES.images_of(*PAPER_IMAGES, ["iam"]) if PAPER_IMAGES else [],
        sensitivity=expand("results/{name}/layers.csv", name=sorted({one["experiment"] for one in PAPER_VARIANTS})),
        memory=f"{PAPER['folder']}/memory.csv",
        sizes=PAPER_SIZES,
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
        sensitivity=expand(
            "{folder}/sensitivity.{kind}", folder=PAPER["folder"], kind=["csv", "png"] if PAPER_VARIANTS else []
        ),
    log:
        "logs/reproduction.log",
    benchmark:
        "logs/reproduction.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        experiments=canonical_json(PAPER_EXPERIMENTS),
        figures=canonical_json(PAPER_FIGURES),
        reductions=canonical_json(PAPER_REDUCTIONS),
        sensitivity=canonical_json(PAPER_VARIANTS),
        config=" ".join(STUDY_FILES),
        full=PAPER["full"] or "",
        folder=subpath(output.page, parent=True),
        code=code("reproduction"),
    shell:
        program("reproduction") + " --experiments {params.experiments:q} --results results"
        " --checkpoints data/checkpoints --datasets {input.datasets:q} --images {input.images:q} --figures {params.figures:q}"
        " --reductions {params.reductions:q} --sensitivity {params.sensitivity:q} --config {params.config:q} --full {params.full:q}"
        " --memory {input.memory:q} --sizes {input.sizes:q} --template {input.template:q} --output-dir {params.folder:q} --code {params.code:q} --log {log:q}"
