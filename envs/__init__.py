"""Worlds as Gymnasium environments. Importing this package registers their ids and nothing more.

Entry points are strings, so a renderer is compiled and a checkpoint is read only when a world is made.
"""

import gymnasium

ENTRY_POINTS = {
    "worldmodel/Avatar-v0": "envs.avatar.env:Avatar",
    "worldmodel/BlockWorld-v0": "envs.blockworld.env:BlockWorld",
    "worldmodel/Generated-v0": "envs.generated:GeneratedWorld",
    "worldmodel/Luanti-v0": "envs.luanti.env:Luanti",
    "worldmodel/MineRL-v0": "envs.minerl.env:MineRL",
}

# What runs in threads of its own in a real game is alike from run to run, and not equal to the bit.
NONDETERMINISTIC = {"worldmodel/Luanti-v0", "worldmodel/MineRL-v0"}

for _id, _entry_point in ENTRY_POINTS.items():
    if _id not in gymnasium.registry:
        gymnasium.register(id=_id, entry_point=_entry_point, nondeterministic=_id in NONDETERMINISTIC)
