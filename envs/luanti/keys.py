"""The game's keyboard and mouse: key presses and pointer motion by the X server's XTEST extension."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from envs.errors import GameError

# What each of our keys is called by X, and by the game's settings.
KEYS: dict[str, tuple[str, str, str]] = {
    "forward": ("w", "keymap_forward", "KEY_KEY_W"),
    "back": ("s", "keymap_backward", "KEY_KEY_S"),
    "left": ("a", "keymap_left", "KEY_KEY_A"),
    "right": ("d", "keymap_right", "KEY_KEY_D"),
    "jump": ("space", "keymap_jump", "KEY_SPACE"),
    "sneak": ("Shift_L", "keymap_sneak", "KEY_LSHIFT"),
    "sprint": ("e", "keymap_aux1", "KEY_KEY_E"),
    "attack": ("x", "keymap_dig", "KEY_KEY_X"),
    "use": ("y", "keymap_place", "KEY_KEY_Y"),
    **{f"hotbar.{slot}": (str(slot), f"keymap_slot{slot}", f"KEY_KEY_{slot}") for slot in range(1, 10)},
}


class Keys:
    """Presses keys in the game's window and moves the pointer in it."""

    def __init__(self, display: str) -> None:
        """Connects to a display.

        Raises:
            GameError: if python-xlib is not installed, or the display is missing or knows no XTEST.
        """
        try:
            from Xlib import XK
            from Xlib import display as displays
            from Xlib import error as errors
        except ImportError as error:
            raise GameError("missing", "the package python-xlib is not installed: run `make luanti`") from error
        self._lost = (errors.ConnectionClosedError, errors.XError, OSError)
        try:
            self._display: Any = displays.Display(display)
        except (errors.DisplayError, errors.ConnectionClosedError, OSError) as error:
            raise GameError("display", f"display {display!r} cannot be opened: {error}. Is it running?") from error
        if not self._display.has_extension("XTEST"):
            raise GameError("display", f"display {display!r} has no XTEST extension, by which keys are pressed")
        keysyms = {key: XK.string_to_keysym(name) for key, (name, _, _) in KEYS.items()}
        self._codes = {key: self._display.keysym_to_keycode(keysym) for key, keysym in keysyms.items()}
        unknown = [key for key, code in self._codes.items() if code == 0]
        if unknown:
            raise GameError("display", f"display {display!r} has no key for {', '.join(unknown)}: is its layout Latin?")
        self._others = {window.id for window in self._games()}
        self._down: set[str] = set()
        self._centre = (0, 0)

    def find_window(self) -> bool:
        """Looks for the game's window, one that was not there before, and gives it the keyboard.

        Returns:
            Whether it is there.

        Raises:
            GameError: if the display is gone.
        """
        from Xlib import X

        try:
            window = next((window for window in self._games() if window.id not in self._others), None)
            if window is None:
                return False
            window.set_input_focus(X.RevertToParent, X.CurrentTime)
            size, at = window.get_geometry(), self._display.screen().root.translate_coords(window, 0, 0)
            self._centre = (at.x + size.width // 2, at.y + size.height // 2)
            self._display.sync()
        except self._lost as error:
            raise GameError("display", f"the display is gone: {error}") from error
        return True

    def apply(self, down: set[str], across: int = 0, along: int = 0) -> None:
        """Sets which keys are down and puts the pointer off the middle, where the game looks for it.

        What was sent has reached the game's connection when this returns.

        Args:
            down: names of KEYS.
            across: pixels to the right.
            along: pixels down.

        Raises:
            GameError: if the display is gone.
        """
        from Xlib import X

        try:
            for key in sorted(self._down - down):
                self._display.xtest_fake_input(X.KeyRelease, self._codes[key])
            for key in sorted(down - self._down):
                self._display.xtest_fake_input(X.KeyPress, self._codes[key])
            self._display.xtest_fake_input(X.MotionNotify, x=self._centre[0] + across, y=self._centre[1] + along)
            self._display.sync()
            self._display.sync()  # the server writes to all its clients before it reads from them again
        except self._lost as error:
            raise GameError("display", f"the display is gone: {error}") from error
        self._down = set(down)

    def close(self) -> None:
        """Lets go of the keys and of the display."""
        try:
            self.apply(set())
            self._display.close()
        except (GameError, *self._lost):
            pass  # it is gone already

    def _games(self) -> Iterator[Any]:
        """The display's windows that are a Minetest's."""
        from Xlib import error

        waiting = [self._display.screen().root]
        while waiting:
            window = waiting.pop()
            try:
                names = window.get_wm_class() or ()
                waiting += window.query_tree().children
            except error.XError:
                continue  # closed meanwhile
            if any("minetest" in name.lower() for name in names):
                yield window
