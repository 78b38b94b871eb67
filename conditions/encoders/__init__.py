"""The networks that conditions turn sound and words into features with."""
