"""Public recordings of Minecraft into clips: `python -m worldmodel.data.convert FORMAT SRC OUT`."""
