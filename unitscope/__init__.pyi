# The public names. `unitscope/__init__.py` reads this file: a name is imported when it is first used.
from .api import AblationResult as AblationResult
from .api import Maximization as Maximization
from .api import Results as Results
from .api import SubstitutionResult as SubstitutionResult
from .api import ablate as ablate
from .api import load as load
from .api import maximize as maximize
from .api import substitution as substitution
from .data.summaries import class_means as class_means
from .errors import UserError as UserError
from .maximization.recipe import Recipe as Recipe
from .probing.activations import activations as activations
from .probing.layer import Layer as Layer
from .probing.probe import Probe as Probe
from .scores.selectivity import class_selectivity as class_selectivity
from .scores.substitution import representative_substitution as representative_substitution
from .stats.correlation import spearman as spearman
