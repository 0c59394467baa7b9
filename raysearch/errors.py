"""The two ways a command ends badly: the user's input is wrong (exit 2), or the work failed (exit 1)."""


class InputError(Exception):
    """The user's input is wrong. The message is one line: `FILE: KEY: GOT; expected WHAT`."""


class WorkError(Exception):
    """The work failed through no fault of the input. The message says what was being done and what is safe."""
