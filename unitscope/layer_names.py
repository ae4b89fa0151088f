"""Names of layers in a config that its network does not have: run, plan and list of layers tell them alike."""

import difflib
from collections.abc import Collection, Iterable

from unitscope.errors import UserError


def refuse_unknown_layers(layers: Iterable[str], known: Collection[str], model: str, where: str) -> None:
    """Refuse layers that a network does not have.

    Args:
        layers: Names in the config.
        known: Names of the network's layers.
        model: Name of the architecture.
        where: Key of the config that names them.

    Raises:
        UserError: A name is not among the layers.
    """
    for layer in layers:
        if layer not in known:
            close = difflib.get_close_matches(layer, known, 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise UserError(
                f"{where} names {layer!r}, which the network {model} does not have.{hint} Its layers are: "
                f"{', '.join(known)}."
            )
