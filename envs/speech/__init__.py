"""Speech whose every sound is known to the sample: said by espeak-ng, or sung by a small synthesiser of our own.

`track.py` is what all of it is: samples and the phones in them. `visemes.py` turns phones into mouth shapes,
`estimate.py` guesses these where only the sound is known.
"""
