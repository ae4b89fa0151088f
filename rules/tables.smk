# All scores, a row a unit; all correlations, a row a layer, method and pair of scores; the claims.


rule units:
    input:
        taps="results/{experiment}/taps.json",
        selectivity=FILES.real("results/{experiment}/selectivity.csv"),
        substitution=FILES.across("results/{experiment}/substitution/{layer}.{method}.csv"),
        ablation=FILES.across_real("results/{experiment}/ablation/{layer}.csv"),
        natural=FILES.natural,
    output:
        table("units"),
    log:
        "logs/{experiment}/units.log",
    benchmark:
        "logs/{experiment}/units.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        network=SETTINGS.network_name,
        code=code("units"),
    shell:
        program("units") + " --experiment {wildcards.experiment:q} --network {params.network:q}"
        " --taps {input.taps:q} --selectivity {input.selectivity:q} --substitution {input.substitution:q}"
        " --ablation {input.ablation:q} --natural {input.natural:q} --output {output:q} --code {params.code:q} --log {log:q}"


rule layers:
    input:
        units="results/{experiment}/units.csv",
        taps="results/{experiment}/taps.json",
        sparseness=FILES.real("results/{experiment}/sparseness.csv"),
        substitution=FILES.across("results/{experiment}/substitution/{layer}.{method}.csv"),
        activations=FILES.real("results/{experiment}/activations.h5"),
        images=FILES.images_of_several_seeds,
    output:
        table("layers"),
    log:
        "logs/{experiment}/layers.log",
    benchmark:
        "logs/{experiment}/layers.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        settings=SETTINGS.with_ablation_images("statistics"),
        code=code("layers"),
    shell:
        program("layers") + " --units {input.units:q} --taps {input.taps:q} --sparseness {input.sparseness:q}"
        " --substitution {input.substitution:q} --activations {input.activations:q} --images {input.images:q}"
        " --settings {params.settings:q} --output {output:q} --code {params.code:q} --log {log:q}"


# Beside the experiment's folder, which DVC tracks as one thing: its metrics and plots are files of their own.
rule metrics:
    input:
        layers="results/{experiment}/layers.csv",
        record=FILES.record,
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
        unpack(FILES.evidence),
        units=FILES.compared("results/{experiment}/units.csv"),
        layers=FILES.compared("results/{experiment}/layers.csv"),
        records=FILES.compared("data/checkpoints/{network}.json"),
        datasets=FILES.compared("data/datasets/{dataset}.h5"),
    output:
        table("claims"),
    log:
        "logs/{experiment}/claims.log",
    benchmark:
        "logs/{experiment}/claims.tsv"
    conda:
        "../envs/unitscope.yaml"
    params:
        claims=SETTINGS.section("claims"),
        analyses=SETTINGS.verdict_methods,
        settings=SETTINGS.section("statistics"),
        code=code("claims"),
    shell:
        program("claims") + " --experiment {wildcards.experiment:q} --units {input.units:q} --layers {input.layers:q}"
        " --records {input.records:q} --datasets {input.datasets:q} --claims {params.claims:q}"
        " --analyses {params.analyses:q}"
        + "".join(f" --evidence {name} {{input.{name}:q}}" for name in EVIDENCE)
        + " --settings {params.settings:q} --output {output:q} --code {params.code:q} --log {log:q}"
