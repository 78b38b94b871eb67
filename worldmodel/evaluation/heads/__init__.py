"""Figures of talking heads: does the face do what the sound, the pose and the words say, and stay who it is?

A generated picture has no truth, so that a small network, trained on rendered clips alone, reads aperture, joints, mood
and identity from it (`network.py`, `learning.py`, `reader.py`). It reads held-out rendered clips, too, whose truth is
known: how well it does stands beside the figures.

`streams.py` generates the held-out clips anew from their first picture; `lipsync.py`, `pose.py`, `mood.py` and
`turns.py` compare what is read there with the truth, `identity.py` looks at long streams, `latency.py` at the time.
"""
