"""A generated world as a Gymnasium environment: `worldmodel/Generated-v0`, the same interface as a rendered one.

Shapes: T frames, H W pixels, F frames per chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from conditions.values import nearest
from worldmodel.frames import to_model
from worldmodel.metrics import psnr

if TYPE_CHECKING:
    from worldmodel.data.clips import Clip
    from worldmodel.session import Session

OPTIONS = ("start", "first_frames", "actions", "reference")


class GeneratedWorld(gymnasium.Env[np.ndarray, dict[str, Any]]):
    """A checkpoint to walk about in.

    An action is a dict of the checkpoint's conditions, and may leave out any of them. There is no reward and no end.
    A model that predicts chunks of F frames needs the actions of them all: the frame that an action leads to then comes
    `delay` = F - 1 steps later, and until the first chunk is there the first frame stays.

    Attributes:
        starts: the clips, shipped inside the checkpoint, that a reset chooses from by its seed.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(
        self,
        checkpoint: str | Path,
        guidance: float | None = None,
        num_steps: int | None = None,
        device: str | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Loads the checkpoint.

        Args:
            checkpoint: a folder, or the id of one on the hub.
            guidance: how strongly the actions steer; 1 is as learned, other than 1 costs a second pass. The
                checkpoint's own by default.
            num_steps: solver steps for a frame; the checkpoint's own number by default.
            device: where the model runs; the accelerator if there is one, by default.
            render_mode: None, or "rgb_array" for `render` to return the latest frame.

        Raises:
            ValueError: for a render mode that there is none of, or a checkpoint that is not there (it names the nearest
                one) or damaged.
        """
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be None or 'rgb_array', got {render_mode!r}")
        self.render_mode = render_mode
        from worldmodel import WorldModel

        self._world = WorldModel.from_pretrained(checkpoint, device=device)
        self._guidance = guidance
        self._num_steps = num_steps
        self._session: Session | None = None
        self._frame: np.ndarray | None = None
        self._waiting: list[Mapping[str, Any]] = []  # actions of the chunk to come
        self._coming: Iterator[np.ndarray] = iter(())  # frames of the chunk in hand, each made when it is asked for
        self.starts: list[Clip] = self._world.starts()
        frame = self._world.config.frame
        self.metadata = {**self.metadata, "render_fps": frame.fps}
        self.observation_space = spaces.Box(0, 255, (frame.height, frame.width, 3), np.uint8)
        self.action_space = self._world.conditions.spaces

    @property
    def delay(self) -> int:
        """Steps between that of an action and the one that shows the frame it leads to: F - 1."""
        return self._world.config.layout.chunk_frames - 1

    @property
    def takes_reference(self) -> bool:
        """Whether the model looks at a reference picture."""
        return self._world.config.layout.reference != "none"

    @property
    def session(self) -> Session:
        """The live stream: its latents, and how long each part of a step took.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if self._session is None:
            raise gymnasium.error.ResetNeeded("this world has not begun: call reset first")
        return self._session

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts from a clip.

        Args:
            seed: chooses one of the checkpoint's starting clips, one after the other as it counts up, and the noise of
                all frames to come.
            options: {"start": index of a starting clip}, or {"first_frames": [T, H, W, 3] uint8, "actions": list of
                the T - 1 actions between them, or left out} to start anywhere else. With a model that takes one,
                {"reference": [H, W, 3] uint8} is the picture that it keeps to, and where it starts unless that is
                given too; by default it is the first of the first frames.

        Returns:
            The last of the first frames, [H, W, 3] uint8, and {"start": index, or None if the frames were given}.

        Raises:
            ValueError: for options that there are none of, an index out of range, frames of a wrong shape or type, or
                a number of actions that does not fit the frames.
        """
        super().reset(seed=seed)
        options = dict(options or {})
        self._check_options(options)
        noise_seed = int(self.np_random.integers(2**31))
        start: int | None = None
        actions: Sequence[Mapping[str, Any]] | None = options.get("actions")
        if "first_frames" in options:
            frames = np.asarray(options["first_frames"])
        elif "reference" in options and "start" not in options:
            frames = np.asarray(options["reference"])[None]
        else:
            start = self._choose(options.get("start", seed if seed is None else seed % max(len(self.starts), 1)))
            frames, actions = self.starts[start].frames, self.starts[start].actions()
        reference = np.asarray(options.get("reference", frames[0])) if self.takes_reference else None
        # A stream is reset in place where there is one: nothing is allocated twice.
        if self._session is None:
            self._session = self._world.session(
                seed=noise_seed,
                first_frames=frames,
                first_conditions=actions,
                reference=reference,
                guidance=self._guidance,
                num_steps=self._num_steps,
            )
        else:
            self._session.reset(0, first_frames=frames, first_conditions=actions, reference=reference, seed=noise_seed)
        self._waiting = []
        self._coming = iter(())
        self._frame = np.array(frames[-1])
        return self._frame.copy(), {"start": start}

    def step(self, action: Mapping[str, Any]) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Imagines the next frame, or, where frames are predicted by chunks, gathers actions for them.

        Args:
            action: raw values of the conditions; those left out are absent, which is not the same as doing nothing.

        Returns:
            The frame [H, W, 3] uint8, reward 0, never terminated, never truncated, no info.

        Raises:
            ValueError: if a value is not in its condition's space.
            gymnasium.error.ResetNeeded: before the first reset.
        """
        session = self.session
        self._waiting.append(self._world.conditions.validate(action))  # a wrong one is refused at once, not by chunks
        if len(self._waiting) > self.delay:
            self._coming = session.stream_chunk(self._waiting)
            self._waiting = []
        self._frame = next(self._coming, self._frame)
        assert self._frame is not None
        return self._frame.copy(), 0.0, False, False, {}

    def render(self) -> np.ndarray | None:
        """The latest frame [H, W, 3] uint8 in mode "rgb_array", else None."""
        return self._frame.copy() if self.render_mode == "rgb_array" and self._frame is not None else None

    def likeness(self, picture: np.ndarray) -> float:
        """How well the model can draw a picture at all: what the autoencoder makes of it, against it.

        Args:
            picture: [H, W, 3] uint8.

        Returns:
            PSNR in dB.
        """
        with torch.no_grad():
            x = to_model(picture, self._world.device)[None, None]
            autoencoder = self._world.autoencoder
            return float(psnr(autoencoder.decode(autoencoder.encode(x)).clamp(-1, 1)[0, 0], x[0, 0]))

    def _choose(self, start: int | None) -> int:
        count = len(self.starts)
        if not count:
            raise ValueError(
                "this checkpoint has no starting clips: reset with "
                'options={"first_frames": [T, H, W, 3] uint8}, or {"reference": [H, W, 3] uint8} where it takes a '
                "picture, or save it with starts"
            )
        if start is None:
            return int(self.np_random.integers(count))
        if not 0 <= start < count:
            raise ValueError(f"start must be in 0 … {count - 1}, the checkpoint's starting clips, got {start}")
        return int(start)

    def _check_options(self, options: dict[str, Any]) -> None:
        for name in options:
            if name not in OPTIONS:
                raise ValueError(f"unknown reset option {name!r}{nearest(name, OPTIONS)}")
        if "actions" in options and "first_frames" not in options:
            raise ValueError('options["actions"] are those between options["first_frames"]: give both')
        if "start" in options and "first_frames" in options:
            raise ValueError('options["start"] and options["first_frames"] are two ways to start: give one')
        if "reference" in options and not self.takes_reference:
            raise ValueError("this checkpoint takes no reference picture (layout.reference is none): leave it out")
