"""Pictures that a camera reads (QR codes, ISO/IEC 18004), drawn as SVG: nothing is asked for elsewhere."""

from markupsafe import Markup

BORDER = 4
"""Empty modules around it, as many as the standard asks for."""


def qr(text: str) -> Markup:
    """Return a text as a picture for a camera."""
    import segno  # few pages show one

    code = segno.make_qr(text, error="m")
    side = code.symbol_size(border=BORDER)[0]
    path = "".join(
        f"M{column} {row}h1v1h-1z"
        for row, modules in enumerate(code.matrix_iter(border=BORDER))
        for column, dark in enumerate(modules)
        if dark
    )
    return Markup(
        '<svg class="qr" viewBox="0 0 {side} {side}" role="img" aria-label="A picture for the app\'s camera">'
        '<rect class="light" width="{side}" height="{side}"></rect><path class="dark" d="{path}"></path></svg>'
    ).format(side=side, path=path)
