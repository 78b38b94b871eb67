"""The window's loop, driven event by event on SDL's dummy driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pygame
import pytest
from PIL import Image

from player.game import Game
from player.play import Play
from player.stats import Stats
from player.window import NoDisplayError, Window, missing_display
from player.worlds import open_world
from tests.player.conftest import PATCH, START_ACTIONS, place
from tests.player.test_recorder import read_film


@pytest.fixture(autouse=True)
def dummy_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.chdir(tmp_path)  # pictures and films go to recordings/ there
    yield
    pygame.quit()


@pytest.fixture
def play() -> Iterator[Play]:
    """Patch alone: its frames tell what was pressed."""
    play = Play(Game(rendered=open_world(PATCH, {})), Stats())
    yield play
    play.close()


@pytest.fixture
def window(play: Play) -> Window:
    window = Window()
    window.open(play)
    pygame.event.clear()
    return window


@pytest.fixture
def both(game: Game) -> Iterator[tuple[Window, Play]]:
    """The tiny generated world, and Patch behind it."""
    play = Play(game, Stats())
    window = Window()
    window.open(play)
    pygame.event.clear()
    yield window, play
    play.close()


def key(code: int, down: bool = True, mod: int = 0) -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN if down else pygame.KEYUP, key=code, mod=mod))


def tap(code: int) -> None:
    key(code)
    key(code, down=False)


def here(play: Play) -> tuple[int, ...]:
    return place(play.game.picture)


def settle(window: Window, play: Play) -> None:
    while play.game.to_replay:
        assert window.tick()


def test_a_press_shorter_than_a_frame_counts(window: Window, play: Play) -> None:
    tap(pygame.K_w)
    window.tick()
    assert here(play) == (1, 0, 0)
    window.tick()
    assert here(play) == (1, 0, 0)


def test_a_held_key_counts_in_every_frame(window: Window, play: Play) -> None:
    key(pygame.K_w)
    for _ in range(5):
        window.tick()
    key(pygame.K_w, down=False)
    window.tick()
    assert here(play) == (5, 0, 0)


def test_the_mouse_turns_while_it_is_grabbed(window: Window, play: Play) -> None:
    pygame.event.post(pygame.event.Event(pygame.MOUSEMOTION, rel=(100, 0), pos=(0, 0), buttons=(0, 0, 0)))
    window.tick()
    assert here(play) == (0, 15, 0)
    tap(pygame.K_ESCAPE)
    pygame.event.post(pygame.event.Event(pygame.MOUSEMOTION, rel=(100, 0), pos=(0, 0), buttons=(0, 0, 0)))
    window.tick()
    assert (here(play), window.grabbed, pygame.event.get_grab()) == ((0, 15, 0), False, False)


def test_the_click_that_takes_the_mouse_again_breaks_nothing(window: Window, play: Play) -> None:
    seen = []
    step = play.game.step
    play.game.step = lambda action: (seen.append(action), step(action))  # type: ignore[assignment,method-assign]
    tap(pygame.K_ESCAPE)
    click = {"button": 1, "pos": (5, 5)}
    for _ in range(2):
        pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, **click))
        pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONUP, **click))
        window.tick()
    assert window.grabbed
    assert [action["keyboard"] for action in seen] == [{}, {"attack": 1}]


def test_losing_the_focus_lets_go_of_the_keys(window: Window, play: Play) -> None:
    key(pygame.K_w)
    window.tick()
    pygame.event.post(pygame.event.Event(pygame.WINDOWFOCUSLOST))
    window.tick()
    assert here(play) == (1, 0, 0)


def test_pause_stops_the_world_and_forgets_what_is_pressed_meanwhile(window: Window, play: Play) -> None:
    tap(pygame.K_p)
    tap(pygame.K_w)
    window.tick()
    window.tick()
    assert (window.paused, here(play), play.stats.frames) == (True, (0, 0, 0), 0)
    tap(pygame.K_p)
    window.tick()
    assert (window.paused, here(play), play.stats.frames) == (False, (0, 0, 0), 1)


def test_r_begins_a_new_world(window: Window, play: Play) -> None:
    tap(pygame.K_r)
    window.tick()
    assert here(play) == (0, 0, 1)


def test_tab_goes_to_the_rendered_world_at_the_same_place_and_back(both: tuple[Window, Play]) -> None:
    window, play = both
    tap(pygame.K_w)
    window.tick()
    tap(pygame.K_TAB)
    window.tick()
    settle(window, play)
    assert (play.game.shown, here(play)) == ("rendered", (START_ACTIONS + 1, START_ACTIONS, 0))
    tap(pygame.K_w)
    window.tick()
    assert here(play)[0] == START_ACTIONS + 2
    tap(pygame.K_TAB)
    window.tick()
    assert play.game.shown == "generated"


def test_alt_tab_is_the_desktops(both: tuple[Window, Play]) -> None:
    window, play = both
    key(pygame.K_TAB, mod=pygame.KMOD_LALT)
    window.tick()
    assert play.game.shown == "generated"


def test_v_shows_both_and_one_again(both: tuple[Window, Play]) -> None:
    window, play = both
    width = pygame.display.get_surface().get_width()
    tap(pygame.K_v)
    window.tick()
    settle(window, play)
    tap(pygame.K_w)
    window.tick()
    left, right = np.split(play.game.picture, 2, axis=1)
    assert place(right)[0] == START_ACTIONS + 1
    assert left.shape == right.shape
    tap(pygame.K_v)
    window.tick()
    assert play.game.kinds == ["generated"]
    assert pygame.display.get_surface().get_width() == width


def test_where_there_is_no_other_world_it_says_so_and_goes_on(window: Window, play: Play) -> None:
    tap(pygame.K_TAB)
    tap(pygame.K_v)
    tap(pygame.K_w)
    assert window.tick()
    assert here(play) == (1, 0, 0)
    assert "checkpoint" in window._status().message


def test_f2_writes_the_frame(window: Window, play: Play, tmp_path: Path) -> None:
    key(pygame.K_w)
    for _ in range(3):
        window.tick()
    before = play.game.picture
    tap(pygame.K_F2)
    window.tick()
    (picture,) = (tmp_path / "recordings").glob("*.png")
    assert (np.asarray(Image.open(picture)) == before).all()
    assert [path.resolve() for path in play.written] == [picture]


def test_f3_films_until_it_is_pressed_again(window: Window, play: Play, tmp_path: Path) -> None:
    tap(pygame.K_F3)
    key(pygame.K_w)
    for _ in range(4):
        window.tick()
    assert window._status().recording_s == pytest.approx(0.05)
    tap(pygame.K_F3)
    window.tick()
    (film,) = (tmp_path / "recordings").glob("*.mp4")
    assert len(read_film(film)) == 5
    assert len(film.with_suffix(".jsonl").read_text().splitlines()) == 4
    assert play.recorder is None


def test_f1_hides_the_display(window: Window, play: Play) -> None:
    window.tick()
    with_hud = pygame.surfarray.array3d(pygame.display.get_surface())
    tap(pygame.K_F1)
    window.tick()
    without = pygame.surfarray.array3d(pygame.display.get_surface())
    assert len(np.unique(without.reshape(-1, 3), axis=0)) == 1  # nothing but Patch's one colour
    assert len(np.unique(with_hud.reshape(-1, 3), axis=0)) > 10


def test_the_display_shows_the_keys_that_are_held(window: Window, play: Play) -> None:
    key(pygame.K_w)
    key(pygame.K_3)
    window.tick()
    status = window._status()
    assert status.active == {"forward", "hotbar.3"}
    assert status.worlds == ["rendered"]


def test_the_frame_fills_the_window_in_its_own_proportions(window: Window) -> None:
    pygame.display.set_mode((500, 300), pygame.RESIZABLE)
    window.show_hud = False
    window._play.game._frames["rendered"] = np.full((16, 16, 3), 200, np.uint8)
    window._draw()
    pixels = pygame.surfarray.array3d(pygame.display.get_surface())[..., 0]  # [W, H]
    lit = np.flatnonzero(pixels[:, 150])
    assert (lit.min(), lit.max(), (pixels[250] == 200).all()) == (100, 399, True)


def test_scale_sets_the_window(play: Play) -> None:
    window = Window(scale=3)
    window.open(play)
    assert pygame.display.get_surface().get_size() == (48, 48)


def test_closing_the_window_ends_the_loop(window: Window, play: Play) -> None:
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    window.run()
    assert play.stats.frames == 0


def test_frames_end_the_loop(window: Window, play: Play) -> None:
    window.run(frames=4)
    assert play.stats.frames == 3


def test_a_script_plays_in_the_window_and_then_the_keys_do(play: Play) -> None:
    window = Window()
    forward = {"keyboard": {"forward": 1}, "camera": [0.0, 5.0]}
    window.open(play, [forward, "new", forward, forward])
    pygame.event.clear()
    for _ in range(3):
        window.tick()
    assert here(play) == (2, 10, 1)
    tap(pygame.K_w)
    window.tick()
    assert here(play) == (3, 10, 1)


def test_it_keeps_the_worlds_pace(play: Play) -> None:
    window = Window()
    window.open(play)
    window.run(frames=51)
    figures = play.stats.figures()
    assert figures.seconds > 0.45  # 50 steps at Patch's 100 a second
    assert figures.p50_ms < 10


@pytest.mark.parametrize(("name", "value"), [("DISPLAY", ":0"), ("WAYLAND_DISPLAY", "wayland-0")])
def test_a_display_is_known_by_its_variables(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    for variable in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert missing_display() is not None
    with pytest.raises(NoDisplayError, match="DISPLAY"):
        Window()
    monkeypatch.setenv(name, value)
    assert missing_display() is None


def test_a_display_that_cannot_be_reached_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    monkeypatch.setenv("DISPLAY", ":9987")
    with pytest.raises(NoDisplayError):
        Window()


def test_a_head_is_shown_when_it_is_heard_and_leaves_the_mouse_alone(tmp_path: Path) -> None:
    from player.drive import Drive
    from player.sound import Silent
    from player.sources.sound_file import Sounds
    from tests.talking import SAMPLES, talking_world

    talking_world(chunk_frames=3).save_pretrained(tmp_path / "head")
    world = open_world("worldmodel/Generated-v0", {"checkpoint": str(tmp_path / "head")})
    portrait = np.full((16, 16, 3), 90, np.uint8)
    drive = Drive({"audio": Sounds(np.full(5 * SAMPLES, 0.1, np.float32), SAMPLES)})
    play = Play(Game(world, options={"reference": portrait}), Stats(), tmp_path / "talk.mp4", drive)
    window = Window()
    window.open(play, outlet=Silent(pace=20.0))
    assert not window.grabbed and place(window._picture) == (90, 90, 90)
    pygame.event.clear()
    tap(pygame.K_TAB)  # there is no rendered world of a portrait: it says so and goes on
    window.run(9)
    assert play.stats.frames == 8 and (window._picture == play.game.picture).all()
    assert "which no rendered world shows" in window._message
    play.close()
    assert len(read_film(tmp_path / "talk.mp4")) == 9
