# One page with every unit of an experiment. Snakemake's report does not hold it: browsers refuse a page within a page
# that has more than 2 MB.


rule atlas:
    input:
        units="results/{experiment}/units.csv",
        layers="results/{experiment}/layers.csv",
        taps="results/{experiment}/taps.json",
        images=all_pictures,
        activations=lambda wildcards: real_images(wildcards, "results/{experiment}/activations.h5"),
        exemplars=lambda wildcards: real_images(wildcards, "results/{experiment}/exemplars.h5"),
        dataset=dataset,
        cumulative=lambda wildcards: (
            parts("cumulative")(wildcards)
            if "cumulative" in experiment(wildcards)["analyses"] and dataset(wildcards)
            else []
        ),
        claims=lambda wildcards: "results/{experiment}/claims.csv" if answers_claims(wildcards.experiment) else [],
    output:
        "results/{experiment}/atlas.html",
    log:
        "logs/{experiment}/atlas.log",
    benchmark:
        "logs/{experiment}/atlas.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=lambda wildcards: canonical_json(experiment(wildcards)["atlas"]),
        code=code("atlas"),
    shell:
        "python scripts/atlas.py --units {input.units:q} --layers {input.layers:q} --taps {input.taps:q}"
        " --images {input.images:q} --activations {input.activations:q} --exemplars {input.exemplars:q}"
        " --dataset {input.dataset:q} --claims {input.claims:q} --cumulative {input.cumulative:q} --settings {params.settings:q}"
        " --output {output:q} --code {params.code:q} --log {log:q}"
