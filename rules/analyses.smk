# What the paper did not ask. Which final files each analysis writes into the folder of an experiment's results; its rules
# stand in the files named after what it asks.

ANALYSES = {
    "scale": scale_files,
    "natural": natural_files,
    "importance": importance_files,
    "reliability": reliability_files,
    "joint": joint_files,
    "cumulative": cumulative_files,
    "graph": graph_files,
    "inhibition": inhibition_files,
}


include: "scale.smk"
include: "importance.smk"
include: "removal.smk"
include: "graph.smk"
