"""Batch norms of classes that are made from torch's own, opened in a traced graph."""

import copy
from collections import OrderedDict
from typing import Any

from torch import fx, nn

from unitscope.probing.following import NORMS


def open_norms(traced: fx.GraphModule) -> None:
    """Put torch's own batch norms in the place of those of classes that are made from them.

    A class without a forward pass of its own is the same; one that holds a nonlinearity too, as timm's
    `BatchNormAct2d`, is parted into `norm`, `drop` and `act`.
    """
    opened: dict[str, list[str]] = {}
    for node in list(traced.graph.nodes):
        if node.op != "call_module":
            continue
        if node.target not in opened:
            whole: Any = traced.get_submodule(node.target)
            plain = next((norm for norm in NORMS if isinstance(whole, norm)), None)
            if plain is None or plain is type(whole):
                continue
            # A shallow copy, which shares the parameters.
            norm = copy.copy(whole)
            norm.__class__, norm._modules = plain, {}
            if type(whole).forward is plain.forward:
                traced.set_submodule(node.target, norm)
                continue
            if [name for name, _ in whole.named_children()] != ["drop", "act"]:
                continue
            parts = {"norm": norm, "drop": whole.drop, "act": whole.act}
            traced.set_submodule(node.target, nn.Sequential(OrderedDict(parts)))
            opened[node.target] = [f"{node.target}.{name}" for name in parts]
        users, last = list(node.users), node
        node.target, *others = opened[node.target]
        for part in others:
            with traced.graph.inserting_after(last):
                last = traced.graph.call_module(part, (last,))
        for user in users:
            user.replace_input_with(node, last)
