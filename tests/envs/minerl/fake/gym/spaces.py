class Space:
    def __repr__(self):
        return type(self).__name__

    def seed(self, seed=None):
        return [seed]


class Discrete(Space):
    def __init__(self, n):
        self.n = n


class Box(Space):
    def __init__(self, low, high, shape, dtype):
        import numpy

        self.shape, self.dtype = tuple(shape), dtype
        self.low, self.high = numpy.full(shape, low, dtype), numpy.full(shape, high, dtype)


class Dict(Space):
    def __init__(self, spaces):
        self.spaces = dict(spaces)
