"""Where the values of conditions come from: files, the microphone, words that are spoken, captions with times.

A source yields raw values of one condition's space, one a frame, and knows nothing of models or worlds. What is wrong
with it at its start is an error; what goes wrong later is told in a line, and the value is missing or silent instead.
"""
