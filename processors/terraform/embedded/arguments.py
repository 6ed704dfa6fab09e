"""A command as the library's argument list."""

from processors.terraform.driver import Command, FileValue, Value
from processors.terraform.memory import MemoryFile

Argument = str | list[object]


def build(command: Command) -> tuple[list[Argument], list[MemoryFile]]:
    """The arguments and the files that ``[prefix, index]`` among them refer to."""
    files: list[MemoryFile] = []

    def resolve(prefix: str, value: str | FileValue) -> Argument:
        if isinstance(value, str):
            return f"{prefix}{value}"
        files.append(value.file)
        return [prefix, len(files) - 1]

    arguments: list[Argument] = [*command.name.split()]
    for name, value in command.options.items():
        arguments += _option(name, value, resolve)
    arguments += [resolve("", value) for value in command.arguments]
    return arguments, files


def _option(name: str, value: Value, resolve) -> list[Argument]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    if value is True:
        return [f"-{name}"]
    values = value if isinstance(value, tuple) else (value,)
    return [resolve(f"-{name}=", each) for each in values]
