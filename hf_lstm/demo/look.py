# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""How the demo looks: its style sheet, and tables of shares."""

import html


CSS = """
.gradio-container { max-width: 1080px !important; margin: 0 auto !important; }
.story { min-height: 11em; white-space: pre-wrap; line-height: 1.6; font-size: 1.05em; }
.story b { color: var(--primary-600); }
#highlighted .label { text-transform: none; }
.figures { display: flex; flex-wrap: wrap; gap: 2em; color: var(--body-text-color-subdued); }
.figures p { margin: 0; } .figures b { display: block; font-size: 1.5em; color: var(--body-text-color); }
.shares { width: 100%; border-collapse: collapse; border: none !important; }
.shares tr { border: none !important; }
.shares td, .shares th { padding: 0.3em 0.8em 0.3em 0; text-align: left; border: none !important; }
.shares th { font-weight: normal; color: var(--body-text-color-subdued); }
.shares i { display: inline-block; height: 0.7em; margin-right: 0.6em; background: var(--primary-400); }
.scroll { max-height: 22em; overflow-y: auto; }
"""


def table(headers: list[str], rows: list[list]) -> str:
    """Rows as HTML, with a bar before each share."""
    cells = ([_bar(cell) if isinstance(cell, float) else html.escape(cell) for cell in row] for row in rows)
    body = ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in cells)
    head = "".join(f"<th>{header}</th>" for header in headers)
    return f'<div class="scroll"><table class="shares"><tr>{head}</tr>{"".join(body)}</table></div>'


def _bar(share: float) -> str:
    return f'<i style="width: {5 * share:.2f}em"></i>{share:.3f}'
