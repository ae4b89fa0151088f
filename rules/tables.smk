# All scores, a row a unit; all correlations, a row a layer, method and pair of scores; the claims.


rule units:
    input:
        taps="results/{experiment}/taps.json",
        selectivity=lambda wildcards: real_images(wildcards, "results/{experiment}/selectivity.csv"),
        substitution=lambda wildcards: across(wildcards, "results/{experiment}/substitution/{layer}.{method}.csv"),
        ablation=lambda wildcards: (
            across(wildcards, "results/{experiment}/ablation/{layer}.csv") if dataset(wildcards) else []
        ),
        natural=lambda wildcards: (
            real_images(wildcards, "results/{experiment}/natural.csv")
            if "natural" in experiment(wildcards)["analyses"]
            else []
        ),
    output:
        table("units"),
    log:
        "logs/{experiment}/units.log",
    benchmark:
        "logs/{experiment}/units.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        network=lambda wildcards: experiment(wildcards)["network"],
        code=code("units"),
    shell:
        program("units") + " --experiment {wildcards.experiment:q} --network {params.network:q}"
        " --taps {input.taps:q} --selectivity {input.selectivity:q} --substitution {input.substitution:q}"
        " --ablation {input.ablation:q} --natural {input.natural:q} --output {output:q} --code {params.code:q} --log {log:q}"


rule layers:
    input:
        units="results/{experiment}/units.csv",
        taps="results/{experiment}/taps.json",
    output:
        table("layers"),
    log:
        "logs/{experiment}/layers.log",
    benchmark:
        "logs/{experiment}/layers.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=lambda wildcards: canonical_json(experiment(wildcards)["statistics"]),
        code=code("correlations"),
    shell:
        program("correlations") + " --units {input.units:q} --taps {input.taps:q}"
        " --settings {params.settings:q} --output {output:q} --code {params.code:q} --log {log:q}"


# Beside the experiment's folder, which DVC tracks as one thing: its metrics and plots are files of their own.
rule metrics:
    input:
        layers="results/{experiment}/layers.csv",
        record=lambda wildcards: f"data/checkpoints/{experiment(wildcards)['network']}.json",
    output:
        metrics="results/{experiment}.metrics.json",
        plot="results/{experiment}.depth.csv",
    log:
        "logs/{experiment}/metrics.log",
    benchmark:
        "logs/{experiment}/metrics.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        code=code("metrics"),
    shell:
        program("metrics") + " --layers {input.layers:q} --record {input.record:q}"
        " --metrics {output.metrics:q} --plot {output.plot:q} --code {params.code:q} --log {log:q}"


rule claims:
    input:
        unpack(evidence_of),
        units=lambda wildcards: of_compared(wildcards, "results/{experiment}/units.csv"),
        layers=lambda wildcards: of_compared(wildcards, "results/{experiment}/layers.csv"),
        records=lambda wildcards: of_compared(wildcards, "data/checkpoints/{network}.json"),
        datasets=lambda wildcards: of_compared(wildcards, "data/datasets/{dataset}.h5"),
    output:
        table("claims"),
    log:
        "logs/{experiment}/claims.log",
    benchmark:
        "logs/{experiment}/claims.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        claims=lambda wildcards: canonical_json(experiment(wildcards)["claims"]),
        analyses=lambda wildcards: canonical_json(verdict_methods(wildcards.experiment)),
        settings=lambda wildcards: canonical_json(experiment(wildcards)["statistics"]),
        code=code("claims"),
    shell:
        program("claims") + " --experiment {wildcards.experiment:q} --units {input.units:q} --layers {input.layers:q}"
        " --records {input.records:q} --datasets {input.datasets:q} --claims {params.claims:q}"
        " --analyses {params.analyses:q}"
        + "".join(f" --evidence {name} {{input.{name}:q}}" for name in EVIDENCE)
        + " --settings {params.settings:q} --output {output:q} --code {params.code:q} --log {log:q}"
