"""What is drawn over the world: where one is, how fast it runs, the keys held, and words now and then."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pygame

WHITE = (255, 255, 255)
DIM = (210, 216, 224)
LIT = (20, 24, 30)
PANEL = (12, 15, 20, 150)
CAP_UP = (12, 15, 20, 130)
CAP_DOWN = (255, 255, 255, 235)
COLOURS = {"generated": (186, 140, 255), "rendered": (124, 214, 130)}
RED = (255, 82, 82)

# Label, the key of the action, column and row and width, in caps.
CAPS = (
    ("W", "forward", 1.5, 0, 1),
    ("A", "left", 0.5, 1, 1),
    ("S", "back", 1.5, 1, 1),
    ("D", "right", 2.5, 1, 1),
    ("shift", "sneak", 0, 2, 1.5),
    ("space", "jump", 1.5, 2, 2),
    ("ctrl", "sprint", 3.5, 2, 1.5),
)
BUTTONS = (("L", "attack", 4.0, 1, 0.75), ("R", "use", 4.75, 1, 0.75))

WALKING = (  # of worlds that are walked in
    ("W A S D", "walk"),
    ("Space", "jump"),
    ("Shift", "sneak"),
    ("Ctrl", "sprint"),
    ("Mouse, arrows", "look"),
    ("Buttons", "break, place"),
    ("1 … 9", "choose a block"),
    ("Esc", "free the mouse"),
)
HELP = (
    ("Tab", "generated / rendered"),
    ("V", "side by side"),
    ("R", "new world"),
    ("P", "pause"),
    ("F1", "hide this display"),
    ("F2", "picture"),
    ("F3", "record"),
)


@dataclass(frozen=True)
class Status:
    """All that the display tells."""

    worlds: Sequence[str]  # from left to right, "generated" or "rendered"
    fps: float
    frame_ms: float
    keys: Collection[str]  # keys there are in this world
    active: Collection[str]  # keys held
    camera: tuple[float, float]  # pitch, yaw of the last step, degrees
    recording_s: float | None  # length of the film so far
    message: str  # a passing word
    banner: str  # what the game waits for
    help: bool  # whether to list the keys


class Hud:
    """Draws a Status over the picture. Fonts are made once for each window size."""

    def __init__(self) -> None:
        self._unit = 0.0
        self._fonts: dict[str, pygame.font.Font] = {}

    def draw(self, surface: pygame.Surface, status: Status, tiles: Sequence[pygame.Rect]) -> None:
        """Draws onto the window.

        Args:
            surface: the window.
            status: what to tell.
            tiles: where each of status.worlds was drawn.
        """
        self._fit(surface)
        for tile, world in zip(tiles, status.worlds, strict=True):
            if status.keys:  # a face is not aimed at
                self._cross(surface, tile)
            self._name(surface, tile, world)
        area = tiles[0].unionall(list(tiles[1:]))
        self._speed(surface, area, status)
        self._keys(surface, area, status)
        if status.message:
            self._pill(surface, status.message, "text", midbottom=(area.centerx, area.bottom - self._px(14)))
        if status.help:
            self._help(surface, area, (*WALKING, *HELP) if status.keys else HELP)
        if status.banner:
            self._pill(surface, status.banner, "large", center=(area.centerx, area.top + area.height // 8))

    def banner(self, surface: pygame.Surface, text: str) -> None:
        """Draws one line in the middle of the window, as while a world is being made."""
        self._fit(surface)
        self._pill(surface, text, "large", center=surface.get_rect().center)

    # parts

    def _name(self, surface: pygame.Surface, tile: pygame.Rect, world: str) -> None:
        margin = self._px(12)
        self._pill(surface, world, "text", dot=COLOURS[world], topleft=(tile.left + margin, tile.top + margin))

    def _speed(self, surface: pygame.Surface, area: pygame.Rect, status: Status) -> None:
        margin = self._px(12)
        text = f"{status.fps:4.1f} FPS   {status.frame_ms:3.0f} ms"
        box = self._pill(surface, text, "text", topright=(area.right - margin, area.top + margin))
        if status.recording_s is not None:
            minutes, seconds = divmod(int(status.recording_s), 60)
            corner = (area.right - margin, box.bottom + self._px(6))
            self._pill(surface, f"REC {minutes}:{seconds:02d}", "text", dot=RED, topright=corner)

    def _keys(self, surface: pygame.Surface, area: pygame.Rect, status: Status) -> None:
        cap, gap = self._px(26), self._px(3)
        left, top = area.left + self._px(12), area.bottom - self._px(12) - 3 * cap - 2 * gap
        shown = [entry for entry in (*CAPS, *BUTTONS) if entry[1] in status.keys]
        for label, key, column, row, width in shown:
            box = pygame.Rect(left + column * (cap + gap), top + row * (cap + gap), width * (cap + gap) - gap, cap)
            self._cap(surface, box, label, key in status.active)
        slots = sorted(key for key in status.active if key not in {entry[1] for entry in shown})
        for index, key in enumerate(slots):
            box = pygame.Rect(left + (5.5 + 1.1 * index) * (cap + gap), top + 2 * (cap + gap), cap, cap)
            self._cap(surface, box, key.removeprefix("hotbar."), True)
        if any(status.camera):
            self._turn(surface, pygame.Vector2(left + 4.75 * (cap + gap), top + cap / 2), status.camera)

    def _turn(self, surface: pygame.Surface, centre: pygame.Vector2, camera: tuple[float, float]) -> None:
        """An arrow the way the view turns, longer the faster it does."""
        turn = pygame.Vector2(camera[1], camera[0])
        turn.scale_to_length(min(turn.length(), 15.0) / 15.0 * self._px(9) + self._px(4))
        pygame.draw.line(surface, WHITE, centre - turn, centre + turn, max(2, self._px(3)))
        side = turn.normalize() * self._px(5)
        tip = [centre + turn + side, centre + turn + side.rotate(120), centre + turn + side.rotate(-120)]
        pygame.draw.polygon(surface, WHITE, tip)

    def _cap(self, surface: pygame.Surface, box: pygame.Rect, label: str, down: bool) -> None:
        self._panel(surface, box, CAP_DOWN if down else CAP_UP, self._px(5))
        text = self._fonts["small"].render(label, True, LIT if down else DIM)
        surface.blit(text, text.get_rect(center=box.center))

    def _cross(self, surface: pygame.Surface, tile: pygame.Rect) -> None:
        arm, width = self._px(7), max(1, self._px(2))
        cross = pygame.Surface((2 * arm + width, 2 * arm + width), pygame.SRCALPHA)
        pygame.draw.rect(cross, (255, 255, 255, 170), (arm, 0, width, 2 * arm + width))
        pygame.draw.rect(cross, (255, 255, 255, 170), (0, arm, 2 * arm + width, width))
        surface.blit(cross, cross.get_rect(center=tile.center))

    def _help(self, surface: pygame.Surface, area: pygame.Rect, lines: Sequence[tuple[str, str]]) -> None:
        font = self._fonts["text"]
        line = font.get_linesize() + self._px(2)
        column = max(font.size(key)[0] for key, _ in lines) + self._px(16)
        width = column + max(font.size(what)[0] for _, what in lines) + self._px(32)
        box = pygame.Rect(0, 0, width, line * len(lines) + self._px(24))
        box.center = area.center
        self._panel(surface, box, (12, 15, 20, 190), self._px(10))
        for row, (key, what) in enumerate(lines):
            y = box.top + self._px(12) + row * line
            surface.blit(font.render(key, True, WHITE), (box.left + self._px(16), y))
            surface.blit(font.render(what, True, DIM), (box.left + self._px(16) + column, y))

    # tools

    def _fit(self, surface: pygame.Surface) -> None:
        """Makes everything as large as the window's shorter side asks for."""
        unit = max(0.6, min(surface.get_height() / 640, surface.get_width() / 640))
        if unit != self._unit:
            self._unit = unit
            sizes = {"small": 15, "text": 19, "large": 26}
            self._fonts = {name: pygame.font.Font(None, self._px(size)) for name, size in sizes.items()}

    def _px(self, size: float) -> int:
        return max(1, round(size * self._unit))

    def _panel(self, surface: pygame.Surface, box: pygame.Rect, colour: tuple[int, ...], radius: int) -> None:
        panel = pygame.Surface(box.size, pygame.SRCALPHA)
        pygame.draw.rect(panel, colour, panel.get_rect(), border_radius=radius)
        surface.blit(panel, box)

    def _pill(
        self,
        surface: pygame.Surface,
        text: str,
        font: str,
        dot: tuple[int, int, int] | None = None,
        **corner: tuple[int, int],
    ) -> pygame.Rect:
        """A line of text on a rounded panel, with a coloured dot before it if asked; returns where it is."""
        words = self._fonts[font].render(text, True, WHITE)
        x, y = self._px(10), self._px(6)
        lead = self._px(14) if dot else 0
        box = pygame.Rect(0, 0, words.get_width() + lead + 2 * x, words.get_height() + 2 * y)
        for name, value in corner.items():
            setattr(box, name, value)
        box.clamp_ip(surface.get_rect())
        self._panel(surface, box, PANEL, box.height // 2)
        if dot:
            pygame.draw.circle(surface, dot, (box.left + x + self._px(3), box.centery), self._px(4))
        surface.blit(words, (box.left + x + lead, box.top + y))
        return box
