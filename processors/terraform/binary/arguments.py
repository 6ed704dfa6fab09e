"""A command as an executable's argument list, by ``python-terraform``."""

from types import SimpleNamespace
from typing import Any

from processors.terraform.driver import Command, FileValue, Value
from processors.terraform.embedded.arguments import Argument
from processors.terraform.memory import MemoryFile


def build(command: Command, executable: str) -> tuple[list[Argument], list[MemoryFile]]:
    """The arguments, the executable's name first, and the files that ``[prefix, index]`` among them refer to.

    Only the pure ``generate_cmd_string`` of python-terraform is used: its own supervision loses interrupts and blocks.
    A file's place is held by a NUL character, which no argument of a user can contain.
    """
    from python_terraform import IsFlagged, Terraform  # noqa: PLC0415 - an import for those who need it

    files: list[MemoryFile] = []

    def text(value: str | FileValue) -> str:
        if isinstance(value, str):
            return value.replace("\0", "")
        files.append(value.file)
        return f"\0{len(files) - 1}"

    def option(value: Value) -> Any:
        if value is True:
            return IsFlagged
        return [text(each) for each in (value if isinstance(value, tuple) else (value,))]  # type: ignore[arg-type]

    options = {name: option(value) for name, value in command.options.items()}
    arguments = [text(value) for value in command.arguments]
    builder = SimpleNamespace(terraform_bin_path=executable)
    built = Terraform.generate_cmd_string(builder, command.name, *arguments, **options)
    return [_resolve(argument) for argument in built], files


def _resolve(argument: str) -> Argument:
    prefix, separator, index = argument.partition("\0")
    return [prefix, int(index)] if separator else prefix
