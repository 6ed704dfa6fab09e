"""Files that live in memory and vanish with the last process that holds them."""

import os
from typing import Self


class MemoryFile:
    """An anonymous file for what must never be on a disk: secret inputs, plans.

    A process that was given its descriptor reads and writes it under ``/proc/self/fd/N``. After kill -9 of all its
    holders nothing is left of it.
    """

    def __init__(self, name: str, data: bytes = b"") -> None:
        self.descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
        self._closed = False
        if data:
            with open(self.descriptor, "wb", closefd=False) as file:
                file.write(data)

    def read(self) -> bytes:
        """All of it."""
        with open(self.descriptor, "rb", closefd=False) as file:
            file.seek(0)
            return file.read()

    def close(self) -> None:
        """Give it up; twice is no error."""
        if not self._closed:
            self._closed = True
            os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
