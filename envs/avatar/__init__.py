"""`worldmodel/Avatar-v0`: a drawn talking head whose truth is known exactly.

`identity.py` who it is, `rig.py` how a face moves in space, `mood.py` and `motion.py` what it does by itself,
`draw*.py` the picture, `env.py` the world, `performer.py` who plays it while clips are recorded.
"""
