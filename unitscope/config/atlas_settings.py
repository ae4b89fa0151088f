"""Settings of the atlas."""

from typing import Annotated

from annotated_types import Ge, Le

from unitscope.settings import Integer, section


@section
class AtlasSettings:
    """The page of all units; nothing else is computed again when this changes."""

    pixels: Annotated[Integer, Ge(8), Le(512)] = 96
    """Longest side of an image on the page; larger ones are scaled down."""
