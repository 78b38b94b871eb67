"""Minecraft itself as a world, through the package `minerl`, which lives in an interpreter of its own.

env.py the Gymnasium environment; game.py the processes behind it; worker.py what runs in MineRL's interpreter, and
keeper.py what ends all of it, however we end.
"""
