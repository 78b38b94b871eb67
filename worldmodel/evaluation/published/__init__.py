"""The measures that papers publish: FID, FVD, SyncNet's LSE-C and LSE-D, and the likeness of faces.

Each needs the weights of a network that others trained. Their files are given by path (`networks.py` says which);
nothing is fetched, nothing is unpickled but tensors, and a figure has the SHA-256 of what it was measured with.
`figure.py` performs held-out clips anew and measures; `frechet.py`, `mfcc.py` and `syncnet.py` are the measures.
"""
