"""The folder in which the processes of a host that belong together meet."""

import os
from typing import Final

STATE_DIR: Final = "ONECOPY_STATE_DIR"
"""The variable that names it."""


def state_folder() -> str:
    """Return its full path: as the environment says, else `.onecopy` in the working folder."""
    return os.path.abspath(os.environ.get(STATE_DIR) or ".onecopy")
