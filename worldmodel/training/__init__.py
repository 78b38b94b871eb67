"""Training under `accelerate launch -m worldmodel.training`: one loop, a file per stage."""
