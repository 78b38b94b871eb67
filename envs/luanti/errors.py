"""What can go wrong with a game that is a program of its own."""

import gymnasium


class GameError(gymnasium.error.Error):
    """The game could not be started, or is no longer there.

    Attributes:
        kind: one word to count by: "missing", "version", "display", "died", "hung", "blank" or "refused".
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
