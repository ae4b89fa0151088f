"""What a config may hold: its keys, their values and defaults, composed of the sections that stand beside the code.

The schema for editors, which is the reference of all keys too, is made from these models; `unitscope.config.messages`
says what is wrong with a config that does not fit them.
"""

import json
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import MaxLen, MinLen
from pydantic import BaseModel, Discriminator, Field, Tag
from pydantic.json_schema import GenerateJsonSchema

from unitscope.config.atlas_settings import AtlasSettings
from unitscope.config.registry import ANALYSES
from unitscope.data.dataset_settings import DatasetSettings
from unitscope.figures.style import Style
from unitscope.interventions.ablation_settings import AblationSettings
from unitscope.interventions.cumulative_settings import CumulativeSettings
from unitscope.interventions.gradients_settings import GradientsSettings
from unitscope.interventions.joint_settings import JointSettings
from unitscope.interventions.planted_settings import PlantedSettings
from unitscope.interventions.replacement_settings import ReplacementSettings
from unitscope.interventions.scale_settings import ScaleSettings
from unitscope.interventions.shapley_settings import ShapleySettings
from unitscope.maximization.images_settings import ImagesSettings
from unitscope.maximization.recipe import Recipe
from unitscope.networks.network_settings import NetworkSettings
from unitscope.networks.training_settings import TrainingSettings
from unitscope.probing.activations_settings import ActivationsSettings
from unitscope.scores.graph_settings import GraphSettings
from unitscope.scores.selectivity_settings import SelectivitySettings
from unitscope.settings import (
    CONFIG,
    Absent,
    Distinct,
    Flag,
    Name,
    Named,
    Readout,
    Seed,
    Text,
    Unique,
    Units,
    adapter,
    kind,
)
from unitscope.stats.statistics_settings import StatisticsSettings
from unitscope.tables.importance_settings import ImportanceSettings
from unitscope.tables.reliability_settings import ReliabilitySettings


class Section(BaseModel):
    """A mapping of the config whose keys are all known."""

    model_config = CONFIG


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
    replacement: ReplacementSettings = ReplacementSettings()
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
    planted: PlantedSettings = PlantedSettings()
    gradients: GradientsSettings = GradientsSettings()
    shapley: ShapleySettings = ShapleySettings()


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
    datasets: dict[Name, DatasetSettings] = {}
    """Labelled image sets, by name."""
    networks: dict[Name, NetworkSettings]
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

    def get_default_value(self, schema: Any) -> Any:
        # Lists and mappings come from factories, which pydantic leaves out.
        factory = schema.get("default_factory")
        return (
            factory() if factory and not schema.get("default_factory_takes_data") else super().get_default_value(schema)
        )


@cache
def schema() -> dict[str, Any]:
    """Return the JSON schema of a config."""
    json_schema = adapter(StudyConfig).json_schema(schema_generator=_Schema)
    return {"$schema": GenerateJsonSchema.schema_dialect, **_in_one_line(json_schema), "title": "A unitscope study"}


def _in_one_line(node: Any) -> Any:
    """Return a schema whose descriptions have no line breaks, and whose sections have no defaults as a whole."""
    if isinstance(node, list):
        return [_in_one_line(value) for value in node]
    if not isinstance(node, dict):
        return node
    text = {"description": " ".join(node["description"].split())} if isinstance(node.get("description"), str) else {}
    # What a section's keys are by default is said of each of them.
    entries = {key: value for key, value in node.items() if key != "default" or "$ref" not in node}
    return {key: _in_one_line(value) for key, value in entries.items()} | text


def schema_text() -> str:
    """Return what stands in schemas/config.schema.json."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
