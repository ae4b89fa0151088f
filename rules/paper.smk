# The page that compares all experiments of a study with the paper, and what their jobs took.


include: "page.smk"


# Known when all jobs are done.
rule memory:
    input:
        [targets(one["name"]) for one in PAPER_EXPERIMENTS],
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
        trained=expand("data/checkpoints/{network}.json", network=compared_trainings()),
        datasets=expand("data/datasets/{dataset}.h5", dataset=datasets_of_the_paper()),
        images=shown_images(),
        sensitivity=expand("results/{name}/layers.csv", name=sorted({one["experiment"] for one in PAPER_VARIANTS})),
        memory=f"{PAPER['folder']}/memory.csv",
        sizes=measured_sizes(),
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
        reductions=canonical_json(reduced()),
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
