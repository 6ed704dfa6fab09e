"""A text that cannot be read."""


class Malformed(Exception):
    """What is wrong with the text, and where: 1-based, 0 when unknown."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
