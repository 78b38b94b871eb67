"""Luanti, the voxel game once called Minetest, as a world: its own unmodified program, seen and steered from outside.

env.py the Gymnasium environment, game.py a running game, gate.c and gate.py keep it in step, keys.py its keyboard and
mouse, household.py its display and what it leaves behind, settings.py its configuration; server_mod and client_mod are
our two mods in it.
"""
