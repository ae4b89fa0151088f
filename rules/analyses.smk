# What the paper did not ask; what each analysis is, says unitscope/config/registry.py.


include: "scale.smk"
include: "importance.smk"
include: "removal.smk"
include: "graph.smk"
