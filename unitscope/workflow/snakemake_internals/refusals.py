"""Errors of this project as Snakemake prints them."""

from snakemake.exceptions import WorkflowError


class Error(WorkflowError):
    """A refusal, of which people are told the sentence alone.

    Snakemake takes the places that it shows below an error, in rules and modules, from where the error was raised.
    """

    __traceback__ = property(lambda self: None, lambda self, value: None)
