"""A first-person world of blocks, drawn and simulated on one CPU core.

blocks.py what there is, textures.py what it looks like, terrain.py and features.py where it stands, march.py rays,
shade.py light, render.py frames, physics.py motion, env.py the Gymnasium environment.
"""
