"""An implementation of each kind is added by writing it with its decorator, and nothing else; then a study uses it."""

import copy

import h5py
import numpy as np
from projects import SMALL, Project

ADDED = {
    "unitscope/data/dataset_settings.py": '''

@data_source
@section
class StripesSettings:
    """Horizontal and vertical stripes."""

    source: Literal["stripes"]
    """Where the images come from."""
    images: Count = 80
    """Number of images."""


if TYPE_CHECKING:
''',
    "unitscope/data/raw_data.py": """

from unitscope.data.dataset_settings import StripesSettings


@read_source.register
def _stripes(settings: StripesSettings) -> Collection:
    labels = np.arange(settings.images) % 2
    images = np.zeros((settings.images, 6, 6, 1), np.uint8)
    images[labels == 0, ::2] = images[labels == 1, :, ::2] = 255
    split = held_out(labels, 0.5, 0)
    applied = partial(as_mapping, StripesSettings, settings)
    return Collection(labels, split, ["horizontal", "vertical"], images.__getitem__, applied)
""",
    "unitscope/networks/architectures.py": '''

@architectures.register("one_hidden_layer")
def one_hidden_layer(shape: Sequence[int], classes: int, width: int = 7) -> nn.Module:
    """Return a network with one hidden layer."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(int(np.prod(shape)), width), nn.ReLU(), nn.Linear(width, classes)
    ).apply(_initialize)
''',
    "unitscope/maximization/objectives.py": '''

@objectives.register("sparse")
def sparse_activation(values: LayerValues) -> Tensor:
    """Maximize the unit's activation minus the layer's mean square."""
    return values.target_value - values.activations.square().mean(1)
''',
    "unitscope/maximization/parametrization.py": '''

@starts.register("dark")
def dark(recipe: Recipe, shape: Sequence[int], draws: np.random.Generator, mean: np.ndarray | None) -> np.ndarray:
    """Start from dark grey."""
    return np.full(shape, 0.25, np.float32)


@parametrizations.register("logits")
class Logits(Parametrization):
    """Logits of the pixels."""

    def values(self, images: Tensor) -> Tensor:
        """Return the logits of images."""
        return images.clamp(0.01, 0.99).logit()

    def images(self, values: Tensor) -> Tensor:
        """Return the images of logits."""
        return values.sigmoid()
''',
    "unitscope/maximization/optimizers.py": '''

@optimizers.register("sign")
class SignAscent(Optimizer):
    """Ascent along the sign of the gradient."""

    @torch.no_grad()
    def step(self, values: Tensor, gradient: Tensor, steps: np.ndarray) -> None:
        """Move `values` along the sign of the gradient, in place."""
        values.add_(gradient.sign(), alpha=self.learning_rate)
''',
}
RECIPE = {"objective": "sparse", "optimizer": "sign", "start": "dark", "parametrization": "logits"}


def test_registered_implementations_of_every_kind_are_used(tmp_path):
    study = copy.deepcopy(SMALL)
    study["datasets"] = {"stripes": {"source": "stripes", "images": 60}}
    study["networks"]["small"] = {
        "model": "one_hidden_layer",
        "options": {"width": 5},
        "dataset": "stripes",
        "training": {"epochs": 2, "batch": 5},
    }
    study["experiments"]["small"] |= {"layers": ["1"], "methods": {"new": {**RECIPE, "steps": 4, "points": 2}}}
    project = Project.create(tmp_path / "project", study)
    for file, text in ADDED.items():
        if text.endswith("if TYPE_CHECKING:\n"):
            project.edit(file, "\n\nif TYPE_CHECKING:\n", text)
        else:
            (project.folder / file).write_text((project.folder / file).read_text() + text)
    project.snakemake()
    with h5py.File(project.folder / "data/datasets/stripes.h5") as file:
        assert file["images"].shape == (60, 6, 6, 1) and list(file.attrs["classes"]) == ["horizontal", "vertical"]
    with h5py.File(project.folder / "results/small/images/1.new.h5") as file:
        assert {name: file.attrs[name] for name in RECIPE} == RECIPE
        images = file["images"][:].astype(float)
        # Four steps of equal length from the start, in logits.
        logits = np.log(images / 255) - np.log(1 - images / 255)
        steps = (logits - np.log(0.25 / 0.75)) / file.attrs["learning_rate"]
        assert images.shape == (1, 5, 6, 6, 1) and np.abs(steps - steps.round()).max() < 0.5 and np.abs(steps).max() > 3
    # What a config may name follows from the decorators.
    schema = project.run("python", "-m", "unitscope.config.models")
    for name in ("stripes", "one_hidden_layer", *RECIPE.values()):
        assert name in schema
    project.change("experiments.small.methods.new.objective", "spars")
    done = project.try_to_run("snakemake", "-n")
    assert done.returncode == 1 and "Did you mean 'sparse'?" in done.stdout
    project.change("experiments.small.methods.new.objective", "sparse")
    project.change("networks.small.model", "one_hiden_layer")
    done = project.try_to_run("snakemake", "-n")
    assert done.returncode == 1 and "Did you mean 'one_hidden_layer'?" in done.stdout
