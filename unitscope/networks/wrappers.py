"""Modules around a network that only change where or how fast it runs."""

from torch import nn


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the network inside wrappers that only change where or how fast it runs."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        # Of torch.compile, whose class would have to be imported.
        elif type(module).__name__ == "OptimizedModule":
            module = module.get_submodule("_orig_mod")
        else:
            return module
