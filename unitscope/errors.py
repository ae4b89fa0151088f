"""The one exception that means "you can mend this": a message for people.

It says what was found, in which file and key, what is allowed and what to do. Everything else that is raised is a
fault of the program. Turning either into an exit code is the work of `unitscope.console`.
"""


class UserError(Exception):
    """A mistake in a config, a file or an argument, told in one readable paragraph."""
