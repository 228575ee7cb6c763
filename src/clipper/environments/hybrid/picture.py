"""Anti-aliased shapes on an array of pixels: a shape is its distance function, a pixel's share of it is its colour."""

import numpy as np

Colour = tuple[int, int, int]

PAPER: Colour = (246, 243, 236)
INK: Colour = (46, 52, 64)
BLUE: Colour = (52, 101, 164)
RED: Colour = (204, 76, 60)
GREEN: Colour = (88, 140, 80)
GOLD: Colour = (228, 170, 50)
GREY: Colour = (198, 194, 184)


class Picture:
    """``width × height`` pixels that show the rectangle from (left, bottom) to (right, top), y upwards."""

    def __init__(
        self, width: int, left: float, right: float, bottom: float, top: float, background: Colour = PAPER
    ) -> None:
        self.scale = width / (right - left)
        height = round((top - bottom) * self.scale)
        self.pixels = np.full((height, width, 3), background, dtype=np.float64)
        self.x = left + (np.arange(width) + 0.5) / self.scale
        self.y = (top - (np.arange(height) + 0.5) / self.scale)[:, None]

    def paint(self, distance: np.ndarray, colour: Colour, opacity: float = 1.0) -> None:
        """Colour where the signed distance to a shape is negative; its edge is one pixel wide."""
        share = opacity * np.clip(0.5 - distance * self.scale, 0, 1)[..., None]
        self.pixels += share * (np.array(colour) - self.pixels)

    def disc(self, x: float, y: float, radius: float, colour: Colour, opacity: float = 1.0) -> None:
        """A filled circle."""
        self.paint(np.hypot(self.x - x, self.y - y) - radius, colour, opacity)

    def ring(self, x: float, y: float, radius: float, width: float, colour: Colour, opacity: float = 1.0) -> None:
        """A circle's line."""
        self.paint(np.abs(np.hypot(self.x - x, self.y - y) - radius) - width / 2, colour, opacity)

    def box(self, left: float, right: float, bottom: float, top: float, colour: Colour, corner: float = 0.0) -> None:
        """A filled rectangle, its corners rounded with radius ``corner``."""
        dx = np.abs(self.x - (left + right) / 2) - (right - left) / 2 + corner
        dy = np.abs(self.y - (bottom + top) / 2) - (top - bottom) / 2 + corner
        outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
        self.paint(outside + np.minimum(np.maximum(dx, dy), 0) - corner, colour)

    def line(self, x0: float, y0: float, x1: float, y1: float, width: float, colour: Colour) -> None:
        """A line with round ends."""
        dx, dy = x1 - x0, y1 - y0
        along = ((self.x - x0) * dx + (self.y - y0) * dy) / max(dx * dx + dy * dy, 1e-12)
        along = np.clip(along, 0, 1)
        self.paint(np.hypot(self.x - x0 - along * dx, self.y - y0 - along * dy) - width / 2, colour)

    def arrow(self, x: float, y: float, angle: float, length: float, width: float, colour: Colour) -> None:
        """A triangle whose base stands at (x, y) and that points into the direction ``angle``."""
        along = (self.x - x) * np.cos(angle) + (self.y - y) * np.sin(angle)
        across = np.abs((self.y - y) * np.cos(angle) - (self.x - x) * np.sin(angle))
        slope = np.hypot(length, width / 2)
        side = (across * length + (along - length) * width / 2) / slope
        self.paint(np.maximum(side, -along), colour)

    def frame(self) -> np.ndarray:
        """The picture as bytes, ``[height, width, 3]``."""
        return np.rint(self.pixels).astype(np.uint8)
