"""What a face does by itself: it breathes, blinks, looks about, sways, nods along with speech and while it listens.

All of it follows from a seed and from what was heard up to now.
"""

from __future__ import annotations

import numpy as np

from envs.avatar.mood import Mood
from envs.avatar.rig import Pose

BREATH_HZ = 0.28
BLINK_S = 0.30
SPEECH_LEVEL = 0.01  # RMS above which a sound counts as speech


class Motion:
    """The motion of one head.

    Args:
        rng: what is drawn by chance.
        fps: frames per second.
    """

    def __init__(self, rng: np.random.Generator, fps: float) -> None:
        self._rng, self._dt = rng, 1.0 / fps
        self._time = 0.0
        self._phases = rng.uniform(0, 2 * np.pi, 6)
        self._rates = rng.uniform(0.05, 0.17, 6)  # Hz
        self._blink_at = rng.uniform(0.4, 3.0)
        self._gaze, self._gaze_to, self._gaze_until = np.zeros(2), np.zeros(2), 0.0
        self._nods = np.zeros(2)  # angle and speed of the nod, degrees
        self._nod_at = rng.uniform(0.5, 2.0)
        self._level = 0.0
        self._attention = 0.0

    def step(self, speaking: float, listening: float, energy: float) -> None:
        """Lives through one frame.

        Args:
            speaking: RMS of the own voice, 0 when silent.
            listening: RMS of the other's.
            energy: how lively to move.
        """
        self._time += self._dt
        hears = listening > SPEECH_LEVEL and speaking <= SPEECH_LEVEL
        self._attention += (float(hears) - self._attention) * min(1.0, 3.0 * self._dt)
        push = 0.0  # degrees per second
        rise = max(speaking - self._level, 0.0)
        self._level += (speaking - self._level) * min(1.0, 6.0 * self._dt)
        if rise > 0.04:  # a stressed syllable: a beat of the head
            push = 45.0 * min(rise, 0.2) / 0.2
        elif hears and self._time > self._nod_at:  # "I see"
            push = self._rng.uniform(60.0, 100.0)
            self._nod_at = self._time + self._rng.uniform(0.9, 2.6)
        steps = 4  # a stiff spring needs finer steps than a frame
        self._nods[1] += push * energy
        for _ in range(steps):
            angle, speed = self._nods
            speed += (-90.0 * angle - 11.0 * speed) * self._dt / steps
            self._nods = np.array((angle + speed * self._dt / steps, speed))
        if self._time >= self._gaze_until:
            away = self._rng.random() < (0.08 if hears else 0.30)
            self._gaze_to = self._rng.normal(0, (0.55, 0.25)) if away else self._rng.normal(0, 0.05, 2)
            self._gaze_until = self._time + self._rng.uniform(0.4, 1.0 if away else 2.6)
        self._gaze = self._gaze + (np.clip(self._gaze_to, -1, 1) - self._gaze) * min(1.0, 18.0 * self._dt)
        if self._time > self._blink_at + BLINK_S:
            double = self._rng.random() < 0.12
            self._blink_at = self._time + (0.05 if double else self._rng.uniform(1.6, 5.0))

    @property
    def attention(self) -> float:
        """How much it listens to the other, 0 to 1."""
        return self._attention

    @property
    def gaze(self) -> tuple[float, float]:
        """Where the eyes look, each -1 to 1."""
        return float(self._gaze[0]), float(self._gaze[1])

    @property
    def lids(self) -> float:
        """How open a blink leaves the eyes, 0 to 1."""
        phase = (self._time - self._blink_at) / BLINK_S
        if not 0 <= phase <= 1:
            return 1.0
        return float(np.clip(abs(phase - 0.4) / (0.4 if phase < 0.4 else 0.6) * 1.6 - 0.5, 0.0, 1.0))

    @property
    def breath(self) -> float:
        """How far breathing lifts the shoulders, in head units."""
        return float(0.004 * np.sin(2 * np.pi * BREATH_HZ * self._time + self._phases[0]))

    def pose(self, mood: Mood) -> Pose:
        """Returns the pose of a head that nothing else moves."""
        waves = np.sin(2 * np.pi * self._rates * self._time + self._phases)
        waves += 0.5 * np.sin(2 * np.pi * 2.3 * self._rates * self._time + self._phases[::-1])
        calm = 1.0 - 0.5 * self._attention
        sway = waves * calm * mood.energy
        return Pose(
            yaw=float(6.0 * sway[0]),
            pitch=float(2.5 * sway[1] + self._nods[0] + mood.pitch),
            roll=float(2.6 * sway[2] + 3.0 * self._attention),
            x=float(0.008 * sway[3]),
            y=float(0.004 * sway[4] - self.breath * 0.5),
            body_x=float(0.004 * sway[3]),
            body_y=-self.breath,
            body_roll=float(0.6 * sway[5]),
        )
