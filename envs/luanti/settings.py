"""The game's configuration."""

from __future__ import annotations

import math

from envs.luanti.keys import KEYS

DEGREES_PER_PIXEL = 0.15
SECONDS_PER_STEP = 0.05
WORLD = """\
gameid = minetest
backend = dummy
player_backend = dummy
auth_backend = sqlite3
mod_storage_backend = dummy
load_mod_worldmodel = true
"""
FIXED = """\
# a window that is drawn as often as it is asked for, at its own size
autosave_screensize = false
fps_max = 1000
fps_max_unfocused = 1000
vsync = false
pause_on_lost_focus = false
# nothing in the picture but the world and what the hand holds, and nothing that moves by itself
node_highlighting = none
show_statusline_on_connect = false
show_debug = false
recent_chat_messages = 2
enable_minimap = false
view_bobbing_amount = 0
fall_bobbing_amount = 0
arm_inertia = false
enable_particles = false
enable_weather = false
enable_fire = false
camera_smoothing = 0
mip_map = true
time_speed = 0
# nobody else: no network but loopback, no sound
bind_address = 127.0.0.1
enable_ipv6 = false
server_announce = false
enable_remote_media_server = false
enable_sound = false
# our mods; what they log goes to standard error, not to a file
debug_log_level = error
enable_client_modding = true
csm_restriction_flags = 0
secure.enable_security = true
# the server hears of every step of the player, believes him, and sends what he can see at once
dedicated_server_step = 0.001
disable_anticheat = true
max_simultaneous_block_sends_per_client = 400
block_send_optimize_distance = 8
full_block_send_enable_min_time_from_building = 0
server_unload_unused_data_timeout = 3600
client_unload_unused_data_timeout = 3600
active_object_send_range_blocks = 3
active_block_range = 2
mg_name = v7
# blocks without end, and a hand that digs at once or nearly so
creative_mode = true
enable_damage = false
# sprinting
fast_move = true
movement_speed_fast = 5.2
movement_acceleration_fast = 3
"""


def vertical_setting(fov: float, aspect: float) -> float:
    """The setting `fov` that gives a vertical field of view: the game widens it in pictures that are not wide.

    Args:
        fov: vertical degrees wanted.
        aspect: width over height.
    """
    return fov / min(max(math.sqrt(1.6 / aspect), 1.0), 1.4)


def sensitivity(fov: float) -> float:
    """The setting `mouse_sensitivity` that turns by DEGREES_PER_PIXEL: the game turns less in a narrower view.

    Args:
        fov: vertical field of view in degrees.
    """
    return DEGREES_PER_PIXEL / (math.tan(math.radians(fov) / 2) * 1.3763819)


def configuration(height: int, width: int, fov: float, world_seed: int, hour: float, viewing_range: int) -> str:
    """The whole of minetest.conf.

    Args:
        height: of the window in pixels.
        width: of the window in pixels.
        fov: vertical field of view in degrees.
        world_seed: seed of the terrain.
        hour: time of day, 0 to 24, at which the sun stands.
        viewing_range: how far one sees, in blocks.
    """
    values: dict[str, object] = {
        "screen_w": width,
        "screen_h": height,
        "fov": f"{vertical_setting(fov, width / height):.6f}",
        "mouse_sensitivity": f"{sensitivity(fov):.8f}",
        "fixed_map_seed": world_seed,
        "world_start_time": round(hour * 1000),
        "viewing_range": viewing_range,
        "max_block_send_distance": viewing_range // 16 + 2,
        "max_block_generate_distance": viewing_range // 16 + 2,
        **{setting: code for _, setting, code in KEYS.values()},
    }
    return FIXED + "".join(f"{name} = {value}\n" for name, value in values.items())
