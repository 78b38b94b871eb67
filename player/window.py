"""The window: pygame's events in, the world's frames out, at the world's own pace."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
os.environ.setdefault("SDL_VIDEO_CENTERED", "1")

import numpy as np
import pygame

from player.controls import Controls
from player.hud import Hud, Status
from player.live import Ahead, Picture, lead_of
from player.play import Play
from player.scripts import Action, Entry
from player.sound import Outlet
from player.worlds import WorldError, action_space_of

COMMANDS = {pygame.K_TAB: "swap", pygame.K_v: "side-by-side", pygame.K_r: "new", pygame.K_F2: "picture"}
REPLAY_S = 0.1  # the longest that the window does not answer while the rendered world catches up
MESSAGE_S = 2.5
POLL_FPS = 100.0  # how often it is looked whether a picture's time has come
DESKTOP_SHARE = 0.8  # of the screen, that a window takes of itself


class NoDisplayError(RuntimeError):
    """There is no screen to open a window on."""


class Window:
    """A window on a game."""

    def __init__(self, scale: int | None = None, worlds: int = 1) -> None:
        """Opens the window, before there is anything to show in it.

        Args:
            scale: window pixels for a frame's pixel; the most that fits the screen well by default.
            worlds: how many worlds there will be beside each other.

        Raises:
            NoDisplayError: if there is no display.
        """
        if reason := missing_display():
            raise NoDisplayError(reason)
        try:
            pygame.display.init()
        except pygame.error as error:
            raise NoDisplayError(str(error)) from error
        pygame.font.init()
        pygame.display.set_caption("worldmodel")
        self._scale = scale
        self._hud = Hud()
        self._clock = pygame.time.Clock()
        self._shown_at: deque[float] = deque(maxlen=20)
        self._message, self._message_until = "", 0.0
        self._camera = (0.0, 0.0)
        self.paused = False
        self.grabbed = False
        self.show_hud = True
        self._ahead: Ahead | None = None
        self._frames: int | None = None
        self._resize(128, 128 * worlds)
        self.say("making the world …")

    def say(self, text: str) -> None:
        """Writes one line in the middle of the window at once, before something that takes long."""
        if not self._shown_at:
            self._surface.fill((24, 28, 34))
        self._hud.banner(self._surface, text)
        pygame.display.flip()
        pygame.event.pump()

    def open(self, play: Play, script: Iterable[Entry] = (), outlet: Outlet | None = None) -> None:
        """Takes up a game, draws its first frame and grabs the mouse, if there is anything to look about with.

        Args:
            play: the run to show.
            script: entries that come before the keys are listened to.
            outlet: where the sound goes; each frame is then made ahead, and shown when its sound is heard.
        """
        self._play = play
        self._script = iter(script)
        space = action_space_of(play.game.world)
        self._controls = Controls(space)
        self._walks = "keyboard" in space.spaces or "camera" in space.spaces
        self._picture: Picture = play.game.picture
        if outlet is not None:
            self._ahead = Ahead(self._make, outlet, play.game.fps, lead_of(play.delay, play.game.fps))
        self._resize(*self._picture.shape[:2])
        self._grab(self._walks)
        self._draw()
        play.stats.first_frame()

    def tick(self) -> bool:
        """One turn of the loop: the events since the last, one step of the world, one picture, the wait for the next.

        Returns:
            Whether to go on: False once the window is closed.
        """
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                return False
            self._handle(event)
        game = self._play.game
        if game.to_replay:
            game.catch_up(REPLAY_S)
        elif self.paused:
            self._controls.read()  # so that a key pressed meanwhile does not count later
        elif self._ahead is not None:
            if self._frames is None or self._play.stats.frames < self._frames - 1:
                self._ahead.go_on(self._next_action)
        else:
            self._play.step(self._next_action())
        self._draw()
        self._clock.tick(game.fps if self._ahead is None else POLL_FPS)
        return True

    def run(self, frames: int | None = None) -> None:
        """Plays until the window is closed, or so many frames, the first included, were shown."""
        self._frames = frames
        try:
            while (frames is None or self._shown < frames - 1) and self.tick():
                pass
        finally:
            if self._ahead is not None:
                self._ahead.close()

    @property
    def _shown(self) -> int:
        """Frames shown after the first one."""
        return self._play.stats.frames if self._ahead is None else self._ahead.index + 1

    def _make(self, action: Action) -> tuple[Picture, np.ndarray | None]:
        """Makes a frame, in a thread of its own, and returns it with its sound."""
        self._play.step(action)
        return self._play.game.picture, self._play.played

    def close(self) -> None:
        """Closes the window."""
        pygame.display.quit()

    @property
    def _surface(self) -> pygame.Surface:
        """The window's pixels; another object after it was resized."""
        return pygame.display.get_surface()

    # the player's hands

    def _handle(self, event: pygame.event.Event) -> None:
        if event.type == pygame.KEYDOWN:
            self._key_down(event.key, alt=bool(event.mod & pygame.KMOD_ALT))
        elif event.type == pygame.KEYUP:
            self._controls.release(pygame.key.name(event.key))
        elif event.type == pygame.MOUSEBUTTONDOWN:
            if self.grabbed:
                self._controls.press(event.button)
            elif event.button == pygame.BUTTON_LEFT and self._walks:
                self._grab(True)
        elif event.type == pygame.MOUSEBUTTONUP:
            self._controls.release(event.button)
        elif event.type == pygame.MOUSEMOTION and self.grabbed:
            self._controls.move(*event.rel)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._controls.clear()  # the mouse is given back, and taken again with the focus, by SDL itself

    def _key_down(self, key: int, alt: bool) -> None:
        if alt:  # the window manager's own keys, Alt+Tab above all
            return
        if key == pygame.K_ESCAPE:
            self._grab(False)
        elif key == pygame.K_p:
            self.paused = not self.paused
        elif key == pygame.K_F1:
            self.show_hud = not self.show_hud
        elif key == pygame.K_F3:
            self._tell(self._play.toggle_recording)
        elif key in COMMANDS:
            self._command(COMMANDS[key])
        else:
            self._controls.press(pygame.key.name(key))

    def _command(self, name: str) -> None:
        if name in ("swap", "side-by-side") and self._play.game.rendered is None:
            self.say("making the rendered world …")
        beside = self._play.game.both
        self._tell(lambda: self._play.command(name))
        if self._play.game.both != beside:
            self._widen(2.0 if self._play.game.both else 0.5)

    def _tell(self, do: Callable[[], str]) -> None:
        """Does something and says in the window what was done, or why not."""
        if self._ahead is not None:
            self._ahead.settle()
        try:
            self._message = do()
        except (WorldError, OSError) as error:
            self._message = str(error)
        self._message_until = time.perf_counter() + MESSAGE_S

    def _grab(self, grab: bool) -> None:
        """Takes the mouse for looking about, or gives it back and lets go of every key."""
        self.grabbed = grab
        pygame.event.set_grab(grab)
        pygame.mouse.set_visible(not grab)
        pygame.mouse.get_rel()
        self._controls.clear()

    def _next_action(self) -> Action:
        """The next step's action: the script's as long as there is one, then the player's."""
        for entry in self._script:
            if isinstance(entry, dict):
                self._controls.active = frozenset(key for key, down in entry.get("keyboard", {}).items() if down)
                return self._remember(entry)
            self._command(entry)
            self._play.game.catch_up()
        return self._remember(self._controls.read())

    def _remember(self, action: Action) -> Action:
        pitch, yaw = action.get("camera", (0.0, 0.0))
        self._camera = (float(pitch), float(yaw))
        return action

    # the picture

    def _draw(self) -> None:
        game = self._play.game
        before = self._picture
        if self._ahead is None:
            self._picture = game.picture
        else:
            self._ahead.look()
            self._picture = before if self._ahead.picture is None else self._ahead.picture
        picture = self._picture
        tiles = self._fit(picture, len(game.kinds))
        self._surface.fill((0, 0, 0))
        whole = tiles[0].unionall(tiles[1:])
        source = pygame.image.frombuffer(np.ascontiguousarray(picture).tobytes(), picture.shape[1::-1], "RGB")
        scaled = pygame.transform.scale if self._walks else pygame.transform.smoothscale  # a face has no pixels
        self._surface.blit(scaled(source, whole.size), whole)
        if self.show_hud:
            self._hud.draw(self._surface, self._status(), tiles)
        pygame.display.flip()
        if self._picture is not before or not self._shown_at:
            self._shown_at.append(time.perf_counter())

    def _resize(self, height: int, width: int) -> None:
        """Makes the window a whole number of times as large as the picture of so many pixels, as fits the screen."""
        scale = self._scale
        if scale is None:
            wide, high = pygame.display.get_desktop_sizes()[0]
            scale = max(1, int(min(high * DESKTOP_SHARE / height, wide * DESKTOP_SHARE / width)))
        size = (width * scale, height * scale)
        if pygame.display.get_surface() is None or self._surface.get_size() != size:
            pygame.display.set_mode(size, pygame.RESIZABLE)

    def _widen(self, times: float) -> None:
        """Makes room in the window for a second world, where the screen has it, or gives it back."""
        width, height = self._surface.get_size()
        wide = int(width * times)
        if height < wide <= pygame.display.get_desktop_sizes()[0][0]:
            pygame.display.set_mode((wide, height), pygame.RESIZABLE)

    def _fit(self, picture: np.ndarray, worlds: int) -> list[pygame.Rect]:
        """The largest place in the window for the picture, in its own proportions, split between its worlds."""
        high, wide = picture.shape[0], picture.shape[1] // worlds
        window = self._surface.get_rect()
        scale = min(window.height / high, window.width / (wide * worlds))
        width, height = max(1, int(wide * scale)), max(1, int(high * scale))
        whole = pygame.Rect(0, 0, width * worlds, height)
        whole.center = window.center
        return [pygame.Rect(whole.left + index * width, whole.top, width, height) for index in range(worlds)]

    def _status(self) -> Status:
        game, recorder = self._play.game, self._play.recorder
        banner = ""
        if game.to_replay:
            banner = f"walking there: {game.to_replay} steps to go"
        elif self.paused:
            banner = "paused"
        elif self._walks and not self.grabbed:
            banner = "click to look about"
        elapsed = self._shown_at[-1] - self._shown_at[0] if len(self._shown_at) > 1 else 0.0
        return Status(
            worlds=game.kinds,
            fps=(len(self._shown_at) - 1) / elapsed if elapsed else 0.0,
            frame_ms=self._play.stats.recent_ms,
            keys=self._controls.keys,
            active=self._controls.active,
            camera=self._camera,
            recording_s=recorder.frames / game.fps if recorder else None,
            message=self._message if time.perf_counter() < self._message_until else "",
            banner=banner,
            help=self.paused or (self._walks and not self.grabbed),
        )


def missing_display() -> str | None:
    """Why no window can be opened, as far as can be told before trying; None if it may well be."""
    if os.environ.get("SDL_VIDEODRIVER") or not sys.platform.startswith("linux"):
        return None
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return None
    return "neither DISPLAY nor WAYLAND_DISPLAY is set"
