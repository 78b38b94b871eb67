"""Measures a checkpoint against the rendered truth: figures, plots and a report page.

    python -m worldmodel.evaluation --checkpoint checkpoints/blockworld --data data/held-out --out runs/evaluation

`run.evaluate` is the same from Python.
"""
