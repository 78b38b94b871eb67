"""A film of any container and rate as pictures at a steady rate, and its sound in step with them.

Times count from the moment at which the file begins. Frame i lasts from i / fps to (i + 1) / fps; it shows the picture
that the film shows in the middle of that, and sounds as the film does during it.

Shapes: V frames, H W pixels, C channels, S samples a frame.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from conditions.encoders.sound import SAMPLE_RATE, to_16_bit
from worldmodel.data.convert.common import Skip
from worldmodel.data.sound import decode_sound

Edit = Callable[[int, np.ndarray], np.ndarray]


class Film:
    """The pictures of a video file at a steady rate.

    Args:
        data: the file.
        fps: rate wanted, frames per second.

    Attributes:
        num_frames: V, whole frames that the pictures last, whatever the file's header says.
        edit: what becomes of frame i, [H, W, 3] uint8; by default it stays.

    Raises:
        Skip: if it is no video file, or a part of it is missing.
    """

    def __init__(self, data: bytes, fps: float) -> None:
        self._data, self.fps = data, fps
        self.edit: Edit = lambda index, picture: picture
        try:
            with av.open(io.BytesIO(data), "r") as container:
                if not container.streams.video:
                    raise Skip("no picture", "the file has no video stream")
                stream = container.streams.video[0]
                self._begins = (container.start_time or 0) / av.time_base
                assert stream.time_base is not None
                packets = [
                    packet
                    for packet in container.demux(stream)
                    if packet.size and not (packet.is_corrupt or packet.is_discard)
                ]
                times = [(packet.dts if packet.pts is None else packet.pts, packet.duration or 0) for packet in packets]
                shown = sorted(
                    (time * stream.time_base, last * stream.time_base) for time, last in times if time is not None
                )
        except FFmpegError as error:
            raise Skip("broken video", f"{len(data)} bytes: {error}") from error
        if not shown:
            raise Skip("no picture", "the video stream is empty")
        last, lasting = shown[-1]
        if not lasting:  # as long as the one before it
            lasting = last - shown[-2][0] if len(shown) > 1 else stream.time_base
        self.num_frames = int((float(last + lasting) - self._begins) * fps + 1e-6)

    def frames(self) -> Iterator[np.ndarray]:
        """Yields the frames in order, [H, W, 3] uint8.

        Raises:
            Skip: where the film breaks off; those before are right.
        """
        count, shown = 0, None
        for time, picture in self._pictures():
            while shown is not None and count < self.num_frames and time > (count + 0.5) / self.fps:
                yield self.edit(count, shown.to_ndarray(format="rgb24"))
                count += 1
            shown = picture
        while shown is not None and count < self.num_frames:
            yield self.edit(count, shown.to_ndarray(format="rgb24"))
            count += 1

    def _pictures(self) -> Iterator[tuple[float, av.VideoFrame]]:
        count = 0
        try:
            with av.open(io.BytesIO(self._data), "r") as container:
                stream = container.streams.video[0]
                stream.codec_context.thread_count = 1
                for frame in container.decode(stream):
                    if frame.is_corrupt or frame.time is None:
                        raise Skip("broken frame", f"picture {count} is broken or tells no time")
                    yield frame.time - self._begins, frame
                    count += 1
        except FFmpegError as error:
            raise Skip("broken frame", f"picture {count}: {error}") from error

    def sound(self) -> tuple[NDArray[np.int16] | None, str]:
        """Returns the sound of every frame, [C, V, S] int16 of one channel or two, and the damage met on the way.

        There is none where the file has no sound or none of it can be decoded. Silence stands where it ends early.
        """
        try:
            with av.open(io.BytesIO(self._data), "r") as container:
                if not container.streams.audio:
                    return None, ""
                sound, damage = decode_sound(container, container.streams.audio[0])
        except FFmpegError as error:
            return None, str(error)
        if sound is None:
            return None, damage
        size = round(SAMPLE_RATE / self.fps)
        whole = np.zeros((len(sound), self.num_frames * size), np.float32)
        length = min(whole.shape[1], sound.shape[1])
        whole[:, :length] = sound[:, :length].clip(-1, 1)
        return to_16_bit(whole).reshape(len(whole), self.num_frames, size), damage
