# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""How the demo looks: its colours and style sheet, tables of shares, pictures, and what is wrong with an input."""

import base64
import html
from collections.abc import Callable, Iterator


# In place of those of gradio's theme Soft, where the text of a button has a contrast of 1.9:1: all has 4.5:1 at least.
COLOURS = {
    "background_fill_primary": "*neutral_50",  # which a second `set` of a theme forgets
    "body_text_color_subdued": "*neutral_600",
    "body_text_color_subdued_dark": "*neutral_300",
    "block_info_text_color": "*neutral_600",
    "block_label_text_color": "*primary_800",
    "block_label_background_fill_dark": "*primary_800",
    "block_title_text_color": "*primary_800",
    "block_title_background_fill_dark": "*primary_800",
    "button_primary_background_fill": "*primary_700",
    "button_primary_background_fill_dark": "*primary_700",
    "button_primary_background_fill_hover": "*primary_800",
    "button_primary_background_fill_hover_dark": "*primary_800",
    "button_secondary_background_fill_hover_dark": "*primary_800",
    "checkbox_label_background_fill_selected": "*primary_700",
    "checkbox_label_background_fill_selected_dark": "*primary_700",
    "color_accent": "*primary_700",
    "input_border_color": "*neutral_400",
    "input_placeholder_color": "*neutral_500",
    "input_placeholder_color_dark": "*neutral_300",
    "link_text_color_dark": "*secondary_300",
    "link_text_color_hover_dark": "*secondary_200",
    "slider_color": "*primary_600",
}

CSS = """
.gradio-container { max-width: 1080px !important; margin: 0 auto !important; }
.dark { --color-accent: var(--primary-400); }
.gradio-container :focus-visible { outline: 3px solid var(--color-accent) !important; outline-offset: 2px; }
.story { min-height: 11em; white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.6; font-size: 1.05em; }
.story b { color: var(--primary-700); } .dark .story b { color: var(--primary-300); }
#highlighted .label { text-transform: none; color: black !important; background: rgb(255 255 255 / 0.75) !important; }
#highlighted .textfield { overflow-wrap: anywhere; }
.problem { margin: 0; padding: 0.6em 0.9em; border-left: 0.3em solid var(--error-border-color); }
.problem { background: var(--error-background-fill); color: var(--error-text-color) !important; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5em, 1fr)); gap: 1em 2em; }
.figures { color: var(--body-text-color-subdued); }
.figures p { margin: 0; } .figures b { display: block; font-size: 1.5em; color: var(--body-text-color); }
.shares { width: 100%; border-collapse: collapse; border: none !important; }
.shares tr { border: none !important; }
.shares td, .shares th { padding: 0.3em 0.8em 0.3em 0; text-align: left; border: none !important; }
.shares td { overflow-wrap: anywhere; }
.shares th { font-weight: normal; color: var(--body-text-color-subdued) !important; }
.shares i { display: inline-block; height: 0.7em; margin-right: 0.6em; background: var(--primary-600); }
.scroll { max-height: 22em; overflow: auto; }
.picture { overflow-x: auto; contain: inline-size; } .picture img { min-width: 720px; width: 100%; }
#attention .picture img { min-width: 0; width: auto; max-width: none; }
@media (max-width: 640px) {
  .shares i { display: block; }
  .tab-container button { padding: 0 0.5em !important; }
}
"""


def table(headers: list[str], rows: list[list]) -> str:
    """Rows as HTML, with a bar before each share."""
    cells = ([_bar(cell) if isinstance(cell, float) else html.escape(cell) for cell in row] for row in rows)
    body = ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in cells)
    head = "".join(f'<th scope="col">{html.escape(header)}</th>' for header in headers)
    return f'<div class="scroll" tabindex="0"><table class="shares"><tr>{head}</tr>{"".join(body)}</table></div>'


def _bar(share: float) -> str:
    return f'<i style="width: {5 * share:.2f}em"></i>{share:.3f}'


def picture(png: bytes, meaning: str) -> str:
    """A picture as HTML, which can be scrolled where the page is narrow, with what it shows in words."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<div class="picture" tabindex="0"><img src="{source}" alt="{html.escape(meaning)}"></div>'


def problem(error: Exception) -> str:
    """What is wrong with an input as HTML."""
    return f'<p class="problem" role="alert">{html.escape(str(error))}</p>'


def told(answer: Callable[..., tuple], empty: tuple) -> Callable[..., Iterator[tuple]]:
    """
    What a click runs: what the last one showed is cleared, then comes the answer, or what is wrong with an input.

    Args:
        answer (`Callable`): What gives the outputs for the inputs.
        empty (`tuple`): The outputs that show nothing.

    Returns:
        `Callable`: A generator of outputs, of which the last one is for [`problem`].
    """

    def click(*inputs) -> Iterator[tuple]:
        yield *empty, ""
        try:
            yield *answer(*inputs), ""
        except ValueError as error:
            yield *empty, problem(error)

    return click
