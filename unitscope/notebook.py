"""Results that show themselves: images of units, substitution, ablation, and the artifacts of a finished experiment."""

import html
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unitscope.config.table_schemas import schema_of
from unitscope.errors import UserError, nearest, some
from unitscope.figures.style import Style
from unitscope.figures.unit_views import MOST, UnitView, as_html, as_png, image_html, sheet
from unitscope.interventions.ablation import Ablation, Damage
from unitscope.maximization.responses import Generated
from unitscope.probing.opening import open_checkpoint
from unitscope.probing.probe import Probe
from unitscope.scores.substitution import Substitution
from unitscope.storage.atomic_writes import write_bytes
from unitscope.storage.csv_tables import read_table
from unitscope.storage.hdf5 import open_hdf5

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Maximization:
    """Images generated for units of a layer; a notebook shows each image and the course of its objective.

    Attributes:
        layer: Name of the layer.
        objective_name: Such as "am" or "iam".
        minimized: Whether the objective was minimized.
        generated: The images and the layer's responses to them.
    """

    layer: str
    objective_name: str
    minimized: bool
    generated: Generated

    @property
    def units(self) -> np.ndarray:
        """The units (units,)."""
        return self.generated.units

    @property
    def images(self) -> np.ndarray:
        """The images (seeds, units, height, width, channels), uint8, or float32 where pixels are free."""
        return self.generated.images

    @property
    def responses(self) -> np.ndarray:
        """Activation of each of the layer's units on each image, (seeds, units, units of the layer)."""
        return self.generated.responses

    @property
    def activations(self) -> np.ndarray:
        """Activation of each unit on its own image, (seeds, units)."""
        return self.responses[:, np.arange(len(self.units)), self.units]

    @property
    def objective(self) -> np.ndarray:
        """Course of the objective (seeds, units, points), against `steps` (points,)."""
        return self.generated.objective

    @property
    def steps(self) -> np.ndarray:
        """The steps at which the objective was recorded, (points,)."""
        return self.generated.steps

    def __getitem__(self, unit: int) -> "Maximization":
        """Return the images of one of the units, by its number.

        Raises:
            UserError: It is not among the units.
        """
        indices = np.flatnonzero(self.units == unit)
        if not len(indices):
            raise UserError(f"There is no image for unit {unit} of {self.layer}, but for {_listed(self.units)}.")
        by_unit = {
            name: values[:, indices] for name, values in vars(self.generated).items() if name not in ("units", "steps")
        }
        return replace(self, generated=replace(self.generated, units=self.units[indices], **by_unit))

    def __len__(self) -> int:
        return len(self.units)

    def save(self, path: str | Path, size: int = 448, seed: int = 0) -> None:
        """Write the image as a PNG; the images of several units as a sheet of them, in rows.

        Args:
            path: Where it goes; ends in .png.
            size: Pixels on the longer side of an image.
            seed: Place among the seeds.

        Raises:
            UserError: The name does not end in .png.
        """
        if Path(path).suffix.lower() != ".png":
            raise UserError(f"{path} does not end in .png, which is what is written.")
        write_bytes(Path(path), sheet(self.images[seed], size))

    def _views(self) -> list[UnitView]:
        return [
            UnitView(f"unit {unit}", self.images[0, index], self.steps, self.objective[0, index])
            for index, unit in enumerate(self.units.tolist())
        ]

    def __repr__(self) -> str:
        sign = "minimum of " if self.minimized else ""
        return f"Maximization of {sign}{self.objective_name} in layer {self.layer}: {_listed(self.units)}"

    def _repr_html_(self) -> str:
        return as_html(self._views(), repr(self))

    def _repr_png_(self) -> bytes:
        return as_png(Style(), self._views(), repr(self))


@dataclass(frozen=True)
class SubstitutionResult:
    """Representative substitution of units; a notebook shows each unit's image, RS and substitutes.

    Attributes:
        maximization: The images that the scores are of.
        scores: RS raw and scale-free, ties, seeds and substitutes.
    """

    maximization: Maximization
    scores: Substitution

    @property
    def rs(self) -> np.ndarray:
        """Share of the layer's units that exceed the unit on its image, (units,); NaN where it is silent on it."""
        return self.scores.rs

    @property
    def substitutes(self) -> dict[int, list[int]]:
        """Units that exceed each unit on its own image, strongest first, by its number."""
        return dict(zip(self.maximization.units.tolist(), self.scores.substitutes, strict=True))

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per unit: `unit, rs, rs_z, rs_q, rs_r, ties, seeds, exceeders, substitutes`."""
        import pandas as pd

        names = ("rs", "rs_z", "rs_q", "rs_r", "ties", "seeds", "exceeders", "substitutes")
        columns = {name: getattr(self.scores, name) for name in names}
        return pd.DataFrame({"unit": self.maximization.units, **columns})

    def __repr__(self) -> str:
        return f"Substitution in layer {self.maximization.layer}: {_listed(self.maximization.units)}"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{unit}</td><td>{image_html(self.maximization.images[0, index], 64)}</td>"
            f"<td>{self.rs[index]:.3f}</td><td>{', '.join(map(str, substitutes)) or 'none'}</td></tr>"
            for index, (unit, substitutes) in enumerate(list(self.substitutes.items())[:MOST])
        )
        head = "<tr><th>unit</th><th>image</th><th>RS</th><th>substitutes</th></tr>"
        return f"<div><p>{html.escape(repr(self))}</p><table>{head}{rows}</table>{_more(self.maximization.units)}</div>"


@dataclass(frozen=True)
class AblationResult:
    """Change of the network's performance for each clamped unit; a notebook shows a table.

    Attributes:
        layer: Name of the layer.
        units: (units,) the clamped units.
        change: Loss increase (nats), accuracy drop and largest drop within one class, each (units,).
        damage: Loss increase and lost hits of each unit by class, as sums over either half of the images.
    """

    layer: str
    units: np.ndarray
    change: Ablation
    damage: Damage

    @property
    def loss(self) -> np.ndarray:
        """Increase of the mean cross-entropy, (units,), in nats."""
        return self.change.loss

    @property
    def accuracy(self) -> np.ndarray:
        """Drop of the accuracy, (units,), as a share of all images."""
        return self.change.accuracy

    @property
    def worst_class(self) -> np.ndarray:
        """Largest drop of the accuracy within one class, (units,)."""
        return self.change.worst_class

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per unit: `unit, loss, accuracy, worst_class`."""
        import pandas as pd

        columns = {name: getattr(self.change, name) for name in ("loss", "accuracy", "worst_class")}
        return pd.DataFrame({"unit": self.units, **columns})

    def __repr__(self) -> str:
        return f"Ablation in layer {self.layer}: {_listed(self.units)}"

    def _repr_html_(self) -> str:
        table: str = self.to_frame().head(MOST).to_html(index=False, float_format=lambda value: f"{value:.4g}")
        return f"<div><p>{html.escape(repr(self))}</p>{table}{_more(self.units)}</div>"


@dataclass(frozen=True)
class Results:
    """The artifacts of a finished experiment.

    Attributes:
        folder: Such as results/digits.
    """

    folder: Path

    @cached_property
    def units(self) -> "pd.DataFrame":
        """units.csv: one row per unit, all scores."""
        return self.table("units.csv")

    @cached_property
    def layers(self) -> "pd.DataFrame":
        """layers.csv: correlations of scores within each layer."""
        return self.table("layers.csv")

    @property
    def names(self) -> list[tuple[str, str]]:
        """Layers and methods of which there are images."""
        names = []
        for path in sorted((self.folder / "images").glob("*.h5")):
            if not path.stem.endswith(".substitutes"):
                # Both may have dots in their names.
                with open_hdf5(path) as file:
                    names.append((str(file.attrs["layer"]), str(file.attrs["method"])))
        return names

    def table(self, name: str) -> "pd.DataFrame":
        """Return a table of the experiment, such as "importance.csv".

        Raises:
            UserError: It is not there.
        """
        import pandas as pd

        return pd.DataFrame(read_table(self.folder / name, schema_of(f"results/{self.folder.name}/{name}")))

    def images(self, layer: str, method: str) -> Maximization:
        """Return the images of a layer by one method.

        Raises:
            UserError: There are none; the message names those that there are.
        """
        path = self.folder / f"images/{layer}.{method}.h5"
        if not path.is_file():
            available = [f"{other_layer} by {other_method}" for other_layer, other_method in self.names]
            hint = nearest(f"{layer} by {method}", available)
            raise UserError(f"{self.folder} has no images of {layer} by {method}.{hint} It has {some(available, 8)}.")
        with open_hdf5(path) as file:
            arrays = {name: file[name][:] for name in Generated.__dataclass_fields__}
            attributes = dict(file.attrs)
        minimized = bool(attributes.get("minimize", False))
        return Maximization(layer, str(attributes["objective"]), minimized, Generated(**arrays))

    def activations(self, layer: str) -> np.ndarray:
        """Return the activations of a layer on the test split, (images, units).

        Raises:
            UserError: The experiment has no such layer.
        """
        with open_hdf5(self.folder / "activations.h5") as file:
            layers = list(file["layers"])
            if layer not in layers:
                raise UserError(
                    f"{self.folder} has no layer {layer!r}.{nearest(layer, layers)} Its layers are: "
                    f"{', '.join(layers)}."
                )
            values: np.ndarray = file[f"layers/{layer}/activations"][:]
        return values

    def probe(self, device: str = "cpu", python: str = "") -> Probe:
        """Open the network of the experiment.

        Args:
            device: Where the network goes.
            python: The function `package.module:name` of yours that builds it, where the config names one.

        Raises:
            UserError: The checkpoint is not there, or is not what it was.
        """
        (network,) = set(self.units["network"])
        return open_checkpoint(self.folder.parent.parent / f"data/checkpoints/{network}.pt", device, python)[0]

    def __repr__(self) -> str:
        return f"Results in {self.folder}"

    def _repr_html_(self) -> str:
        table: str = self.units.head(MOST).to_html(index=False, float_format=lambda value: f"{value:.3g}")
        return f"<div><p>{html.escape(repr(self))}</p>{table}{_more(self.units)}</div>"


def _listed(units: np.ndarray) -> str:
    numbers = [str(unit) for unit in units.tolist()]
    return f"unit{'s' * (len(numbers) != 1)} {some(numbers, 8)}"


def _more(rows: Any) -> str:
    return f"<p>and {len(rows) - MOST} more units</p>" if len(rows) > MOST else ""
