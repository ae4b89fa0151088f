# What becomes of units in training: for each entry whose network lists epochs, all its checkpoints side by side.


# Beside the folders of the experiments: it belongs to none of them.
rule training_time:
    input:
        units=of_checkpoints("results/{experiment}/units.csv"),
        layers=of_checkpoints("results/{experiment}/layers.csv"),
        records=of_checkpoints("data/checkpoints/{network}.json"),
    output:
        table="results/{entry}.training/training.csv",
        figure=report(
            "results/{entry}.training/training_time.png",
            caption="captions/training_time.rst",
            category="Training time",
            labels={"experiment": "{entry}"},
        ),
        pdf="results/{entry}.training/training_time.pdf",
    log:
        "logs/{entry}.training.log",
    conda:
        "../envs/unitscope.yaml"
    params:
        style=lambda wildcards: canonical_json(STUDY.experiments[OVER_EPOCHS[wildcards.entry][0]]["figures"]),
        code=code("training_time"),
    shell:
        "python scripts/training_time.py --units {input.units:q} --layers {input.layers:q} --records {input.records:q}"
        " --style {params.style:q} --output {output.table:q} --figure {output.figure:q} --log {log:q}"
