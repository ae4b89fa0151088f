"""Settings of a network: its architecture and the source of its weights."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import MaxLen, MinLen
from pydantic import Discriminator, Field, Tag

from unitscope.networks.training_settings import TrainingJob, TrainingSettings
from unitscope.registries import declared
from unitscope.settings import (
    Absent,
    Count,
    Distinct,
    Integer,
    Named,
    NaturalNumber,
    NonEmpty,
    NotNegative,
    Number,
    Positive,
    Seed,
    Text,
    Unique,
    kind,
    section,
)

Channels = NonEmpty[Number]
BUILT_IN = declared(Path(__file__).with_name("architectures.py"), "architectures")
"""The built-in architectures by name."""


@section
class NormalizationSettings:
    """Mean and standard deviation of each channel."""

    mean: Channels
    """Of pixels in 0 to 1."""
    std: NonEmpty[Positive]
    """Of pixels in 0 to 1."""


@section
class Weights:
    """Given weights."""

    # Pydantic reads no docstrings of inherited fields.
    key: Annotated[
        Text | None,
        Field(
            description="Where in the file the state dict is, such as model or ema.state_dict; null: the only one "
            "in it."
        ),
    ] = None
    strip_prefix: Annotated[
        Text | None,
        Field(
            description="Prefix removed from its keys, such as module., keys without it being left out; null: the one "
            "under which all weights of the network are found."
        ),
    ] = None
    ignore: Annotated[
        Unique[Named],
        Field(description="Keys that are left out, without the prefix, such as aux.*, where * stands for any text."),
    ] = field(default_factory=list)


@section
class FileWeights(Weights):
    """Weights of a file."""

    file: Named
    """A state dict (.pt or .safetensors)."""
    sha256: Annotated[Text, Field(pattern="^[0-9a-f]{64}$")]
    """Of that file: 64 hexadecimal digits, as sha256sum prints them."""


@section
class TorchvisionWeights(Weights):
    """Weights that torchvision has."""

    torchvision: Text
    """Name of torchvision weights, such as IMAGENET1K_V1."""


@section
class TimmWeights(Weights):
    """Weights that timm has."""

    timm: Text
    """Tag of timm weights, such as a1_in1k."""


def weights_kind(value: Any) -> str | None:
    """Return which of the three kinds of weights a mapping is; None where it is none or several of them."""
    keys = value if isinstance(value, dict) else vars(value)
    kind_of_key = {"file": "<file>", "sha256": "<file>", "torchvision": "<torchvision>", "timm": "<timm>"}
    kinds = {kind_of_key[key] for key in keys if key in kind_of_key}
    return kinds.pop() if len(kinds) == 1 else None


AnyWeights = Annotated[
    Annotated[FileWeights, Tag("<file>")]
    | Annotated[TorchvisionWeights, Tag("<torchvision>")]
    | Annotated[TimmWeights, Tag("<timm>")],
    Discriminator(weights_kind),
]


@section
class HeadSettings:
    """A new classifier on frozen features."""

    fit: Literal["linear"]
    """What is fitted."""
    replaces: Literal["last_layer", "classifier"] = "last_layer"
    """last_layer: the network's last linear layer; classifier: all that stands behind `features`, whose average over
    space it takes, for weights without a classifier.
    """
    weight_decay: NotNegative = 0.0001
    """Ridge penalty on its weights."""


@section
class NetworkSettings:
    """An architecture, and how it comes by its weights."""

    source: Annotated[
        Literal["built_in", "torchvision", "timm", "python", "exported"],
        Field(
            description=f"built_in: {', '.join(BUILT_IN)}; torchvision or timm: a model by its name there; python: a "
            "function of your own; exported: a program of torch.export (.pt2), named by weights.file."
        ),
    ] = "built_in"
    model: Text = ""
    """Name of the architecture; for python, package.module:function."""
    options: dict[Text, Any] = field(default_factory=dict)
    """Arguments of the architecture."""
    files: Unique[Named] = field(default_factory=list)
    """For python: files that your function reads beside its code, such as a graph or a list of channels; what follows
    from them is computed again when they change.
    """
    dataset: Text | None = None
    """Name of the data set it is trained and tested on; null: no images, raw RS alone."""
    input: Annotated[list[Count], MinLen(3), MaxLen(3)] | None = None
    """[channels, height, width], where there is no data set."""
    normalization: NormalizationSettings | None = None
    """Mean and standard deviation of each channel; null takes the training split's, or those of weights by name
    (torchvision, timm); weights from a file need it.
    """
    weights: AnyWeights | None = None
    """Given weights: {file, sha256} of a state dict, {torchvision: name} or {timm: tag}; null trains the network."""
    head: HeadSettings | None = None
    """A new classifier on frozen features; null keeps the network's own."""
    classes: Annotated[Unique[Named], MinLen(2)] | None = None
    """Names of the network's outputs, in their order, where they are not the data set's classes: more of them, in
    another order, with a background; two names for a single output, the logit of the second. Outputs of classes that
    the data set lacks are left out.
    """
    output: (
        Annotated[Annotated[Text, Tag("<word>")] | Annotated[Integer, Tag("<number>")], Discriminator(kind)] | None
    ) = None
    """Where the logits are in what the network returns, if it returns several tensors: a key or a position."""
    outputs: Literal["logits", "probabilities"] | None = None
    """Whether the outputs are logits or probabilities, whose logarithm is then taken; null: logits, with a warning
    where they look like probabilities.
    """
    allow: Unique[Literal["randomness", "batch_dependence"]] = field(default_factory=list)
    """What is otherwise refused: randomness, random numbers in eval mode; batch_dependence, an image's output that
    depends on the other images.
    """
    training: TrainingSettings = TrainingSettings()
    seed: Seed = 0
    """Of the initial weights and the training."""
    seeds: Annotated[Distinct[Seed] | None, Absent] = None
    """Several trainings, each a network of its own: {name}-seed{n}."""
    epochs: Annotated[Distinct[NaturalNumber] | None, Absent] = None
    """Checkpoints of one training, each a network of its own: {name}-epoch{n}."""


@section
class NetworkJob(NetworkSettings):
    """A single network: of one seed, and of one checkpoint of its training."""

    # Nothing takes a job for the settings as written.
    training: TrainingJob | None = TrainingJob()  # type: ignore[assignment]
    """null: the weights are given."""
