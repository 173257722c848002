"""What a user sees: run.ipynb and a hostile paper in JupyterLab, in a real browser."""

import json

import hostile
import lab_server
import pytest
from devtools import wait_for
from lab_server import PAPER

pytestmark = pytest.mark.slow

# elements of our outputs that none of our views makes
FOREIGN = "script, iframe, object, embed, link, form, svg, img:not([src^='data:image/png'])"
CELLS = (
    "import app\n\nlibrary = app.Library.open('data/papers/hostile.pdf', progress=False)\nlibrary",
    "reader = app.load_reader()\nsimilarity = library.retriever('similarity')\n"
    "compression = library.retriever('compression')\n"
    "app.ask('Is the gate of the hostile network exponential?', similarity, reader=reader)",
    "found = app.watch('What keeps the memory? <script>alert(9)</script>',\n"
    "                  [similarity, compression], reader=reader, mode='sentence')",
    "report = app.compare(['What does the forget gate close?', 'How many rows has the memory?'],\n"
    "                     [similarity, compression], reader=reader, gold=[None, {'page': 1}])\n"
    "report",
    "report.plot()",
    "chat = app.Chat(similarity, reader)\nchat.ask('What is the forget gate?')\n"
    "chat.ask('And </style><script>alert(10)</script> why?')\nchat",
)


def outputs(browser, selector):
    quoted = json.dumps(f".jp-OutputArea {selector}")
    return browser.run(f"document.querySelectorAll({quoted}).length")


def pictures(browser, folder, name):
    """The whole notebook in both themes."""
    for theme in ("Dark", "Light"):
        lab_server.theme(browser, theme)
        browser.size(1500, 1000)
        browser.size(1500, min(16_000, lab_server.whole_height(browser) + 120))
        browser.picture(folder / f"{name}-{theme.lower()}.png")


def test_the_notebook_runs_on_the_real_paper(lab, browser, tmp_path):
    lab.open(browser, "run.ipynb")
    state = lab.run_all(browser, 900)
    assert state["errors"] == [] and state["done"] == state["code"] > 5
    comparisons = outputs(browser, "section.xqa[aria-label^='Comparison'] > table")
    assert comparisons >= 2
    # JupyterLab leads relative links through its own server and keeps the page
    assert outputs(browser, f"section.xqa a[href*='{PAPER}'][href*='#page=']") > 10
    assert outputs(browser, f"section.xqa :is({FOREIGN})") == 0
    pictures(browser, tmp_path, "run")
    elsewhere = [
        url for url in browser.asked if not url.startswith((lab.address, "data:", "blob:"))
    ]
    assert elsewhere == [], "the page asks for something from outside"
    for colour in ("Light", "Dark"):
        lab_server.theme(browser, colour)
        assert contrast(browser) >= 4.5
    browser.run(f"document.querySelector(\"section.xqa a[href*='{PAPER}']\").click()")
    browser.wait(f"{lab_server.NOTEBOOK}?.context?.path === 'data/papers/{PAPER}'")


def contrast(browser) -> float:
    """The least contrast (WCAG 2) of text and background among our tables' cells and links."""
    return browser.run("""(() => {
      const light = c => { const p = c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
          .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * p[0] + 0.7152 * p[1] + 0.0722 * p[2]; };
      const page = light(getComputedStyle(document.querySelector('section.xqa')).backgroundColor);
      const seen = [...document.querySelectorAll('section.xqa :is(td, th, a, small, .both, .only)')]
        .map(e => light(getComputedStyle(e).color));
      return Math.min(...seen.map(v =>
        (Math.max(v, page) + 0.05) / (Math.min(v, page) + 0.05)));
    })()""")


def watched(lab, browser) -> list:
    """The outputs of the cell that is shown while it runs, in the file once it is saved."""
    browser.run("window.jupyterapp.commands.execute('docmanager:save').then(() => true)")
    cells = json.loads((lab.folder / "hostile.ipynb").read_text(encoding="utf-8"))["cells"]
    return cells[2]["outputs"]


def test_a_hostile_paper_is_text(lab, browser, tmp_path):
    hostile.write(lab.folder / "data/papers/hostile.pdf")
    cells = [
        {
            "cell_type": "code",
            "id": f"c{n}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for n, source in enumerate(CELLS)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": cells}
    (lab.folder / "hostile.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    lab.open(browser, "hostile.ipynb")
    state = lab.run_all(browser, 300)
    assert state["errors"] == [] and state["done"] == len(CELLS)
    pictures(browser, tmp_path, "hostile")
    wait_for(lambda: "reading …" not in str(watched(lab, browser)), 30, "the last state, saved")
    (last,) = watched(lab, browser)
    assert "Text to read" in "".join(last["data"]["text/html"])
    shown = browser.run(
        "[...document.querySelectorAll('.jp-OutputArea .xqa')].map(e => e.textContent).join()"
    )
    assert hostile.SCRIPT in shown and "<iframe src=" in shown and "onerror=" in shown
    assert "$\\href{javascript:alert(6)}{x}$" in shown
    assert outputs(browser, f"section.xqa :is({FOREIGN})") == 0
    assert outputs(browser, "section.xqa mjx-container") == 0, "a formula was typeset"
    assert browser.run("window.taken === undefined") is True
    assert browser.dialogs == []
    unsafe = "section.xqa :is([onerror], [onload], [href^='javascript:'])"
    assert outputs(browser, unsafe) == 0
