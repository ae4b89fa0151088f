"""Names of layers in a config that its network does not have: run, plan and list of layers tell them alike."""

import difflib
from collections.abc import Collection, Iterable, Mapping

from unitscope.errors import UserError


def refuse_unknown_layers(
    layers: Iterable[str],
    layer_names: Collection[str],
    model: str,
    where: str,
    left_out: Mapping[str, str] | None = None,
) -> None:
    """Refuse layers that a network does not have.

    Args:
        layers: Names in the config.
        layer_names: Names of the network's layers.
        model: Name of the architecture.
        where: Key of the config that names them.
        left_out: Why other layers cannot be tapped, by name.

    Raises:
        UserError: A name is not among the layers.
    """
    for layer in layers:
        if layer in layer_names:
            continue
        if left_out and layer in left_out:
            raise UserError(
                f"{where} names {layer!r}, which cannot be analyzed in the network {model}: {left_out[layer]}. Its "
                f"layers are: {', '.join(layer_names)}."
            )
        close = difflib.get_close_matches(layer, layer_names, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UserError(
            f"{where} names {layer!r}, which the network {model} does not have.{hint} Its layers are: "
            f"{', '.join(layer_names)}."
        )
