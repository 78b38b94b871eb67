"""What can steer a world: keys, the camera, sound, a pose, words. Each is one file and one registered class."""

from conditions.base import Column, Condition, Prepared, adopted
from conditions.registry import get, known, names, register, space
from conditions.set import ConditionSet, collate

__all__ = [
    "Column",
    "Condition",
    "ConditionSet",
    "Prepared",
    "adopted",
    "collate",
    "get",
    "known",
    "names",
    "register",
    "space",
]
