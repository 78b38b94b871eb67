"""What can go wrong with a game that is a program of its own."""

import gymnasium


class GameError(gymnasium.error.Error):
    """The game could not be started, or is no longer there.

    Attributes:
        kind: one word to count by: "missing", "version", "display", "died", "hung", "blank" or "refused".
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)  # both, so that it can be sent from a process that records
        self.kind = kind

    def __str__(self) -> str:
        return str(self.args[1])
