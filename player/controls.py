"""The live source of actions: keys, mouse buttons and mouse motion, gathered between two frames.

Names of keys are pygame's (`pygame.key.name`), but nothing here needs pygame.
"""

from __future__ import annotations

from typing import Any

from gymnasium import spaces

KEYS = {
    "w": "forward",
    "s": "back",
    "a": "left",
    "d": "right",
    "space": "jump",
    "left shift": "sneak",
    "right shift": "sneak",
    "left ctrl": "sprint",
    "right ctrl": "sprint",
    **{str(number): f"hotbar.{number}" for number in range(1, 10)},
}
BUTTONS = {1: "attack", 3: "use"}
ARROWS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}  # pitch, yaw

DEGREES_PER_PIXEL = 0.15
DEGREES_PER_ARROW = 4.0  # in a step, while the arrow key is held
MAX_TURN = 15.0  # degrees in a step, as much as recorded players turn; a faster move of the hand takes more steps


class Controls:
    """What the player's hands did since the last frame, as one action of a world.

    Attributes:
        keys: the keyboard keys that the world knows.
        active: the keys of the action read last, for showing.
    """

    def __init__(self, space: spaces.Dict) -> None:
        """Reads which keys there are, and whether one can look about, from the world's action space."""
        keyboard = space.spaces.get("keyboard")
        camera = space.spaces.get("camera")
        self.keys = frozenset(keyboard.spaces) if isinstance(keyboard, spaces.Dict) else frozenset()
        self.active: frozenset[str] = frozenset()
        self._looks = isinstance(camera, spaces.Box)
        self._held: set[str | int] = set()
        self._pressed: set[str | int] = set()  # since the last read, let go of or not
        self._turn = [0.0, 0.0]  # pitch and yaw that the mouse asked for and no step has made yet

    def press(self, key: str | int) -> None:
        """A key, by its name, or a mouse button, by its number, goes down."""
        self._held.add(key)
        self._pressed.add(key)

    def release(self, key: str | int) -> None:
        """A key or button goes up. If it went down since the last read, it still counts for one step."""
        self._held.discard(key)

    def move(self, dx: float, dy: float) -> None:
        """The mouse moved by so many pixels, to the right and downwards."""
        self._turn[0] += dy * DEGREES_PER_PIXEL
        self._turn[1] += dx * DEGREES_PER_PIXEL

    def clear(self) -> None:
        """Lets go of everything, as when the window loses the focus."""
        self._held.clear()
        self._pressed.clear()
        self._turn = [0.0, 0.0]

    def read(self) -> dict[str, Any]:
        """The action of this step: every key that was down at any moment since the last read, and the turn.

        Returns:
            {"keyboard": {key: 1}, "camera": [pitch, yaw]}, of these what the world knows; camera in degrees.
        """
        down = self._held | self._pressed
        names = {KEYS.get(key) if isinstance(key, str) else BUTTONS.get(key) for key in down}
        self.active = frozenset(name for name in names if name in self.keys)
        action: dict[str, Any] = {}
        if self.keys:
            action["keyboard"] = dict.fromkeys(sorted(self.active), 1)
        if self._looks:
            for key in down & ARROWS.keys():
                for axis, sign in enumerate(ARROWS[str(key)]):
                    self._turn[axis] += sign * DEGREES_PER_ARROW
            action["camera"] = [max(-MAX_TURN, min(MAX_TURN, angle)) for angle in self._turn]
            self._turn = [angle - made for angle, made in zip(self._turn, action["camera"], strict=True)]
        self._pressed.clear()
        return action
