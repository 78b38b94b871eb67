"""Interactive world models: pixels in, pixels out."""
