"""Draws media/icon.png: lines of code, each with its predicted value behind it, the last one confirmed. Needs Pillow.

python editors/vscode/icon.py
"""

from pathlib import Path

from PIL import Image, ImageDraw

SIZE, SCALE = 256, 4
BACKGROUND, CODE, VALUE, CONFIRMED = "#1f2430", "#8b95a7", "#c9a6ff", "#73c991"
ROWS = ((40, 96, 48), (64, 72, 64), (88, 56, 40), (64, 80, 0))
"""Of each line its indentation, and the lengths of its code and of its value."""


def main() -> None:
    """Draw it large and shrink it, for smooth edges."""
    image = Image.new("RGBA", (SIZE * SCALE, SIZE * SCALE))
    draw = ImageDraw.Draw(image)

    def bar(left: int, top: int, length: int, color: str) -> None:
        box = [each * SCALE for each in (left, top, left + length, top + 18)]
        draw.rounded_rectangle(box, radius=9 * SCALE, fill=color)

    draw.rounded_rectangle((0, 0, SIZE * SCALE, SIZE * SCALE), radius=48 * SCALE, fill=BACKGROUND)
    for index, (indentation, code, value) in enumerate(ROWS):
        top = 50 + 46 * index
        bar(indentation - 8, top, code, CODE)
        if value:
            bar(indentation + code + 8, top, value, VALUE)
    mark = [(166, 197), (184, 215), (220, 176)]
    draw.line([(x * SCALE, y * SCALE) for x, y in mark], fill=CONFIRMED, width=18 * SCALE, joint="curve")
    for x, y in mark:
        box = [(each - 9) * SCALE for each in (x, y)] + [(each + 9) * SCALE for each in (x, y)]
        draw.ellipse(box, fill=CONFIRMED)
    small = image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    small.save(Path(__file__).parent / "media" / "icon.png", optimize=True)


if __name__ == "__main__":
    main()
