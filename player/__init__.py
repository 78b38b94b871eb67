"""Playing any world live: the keys, the window, the headless run, recordings and figures behind play.py.

A world here is a Gymnasium environment whose action is a dict of conditions and whose observation is a frame. Nothing
in this package knows how a world makes its frames, and importing it opens no window and loads no model.
"""
