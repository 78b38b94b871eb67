"""Clips on disk, and what training reads from them."""
