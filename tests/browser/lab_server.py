"""JupyterLab on loopback, with settings of its own, and notebooks in it run from a browser."""

import os
import secrets
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from devtools import Browser, wait_for

PAPER = "xlstm-2405.04517v1.pdf"
SETTINGS = {
    # all cells are in the page, not only those in view; nothing is asked of the network
    "notebook-extension/tracker": '{"windowingMode": "none"}',
    "apputils-extension/notification": (
        '{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}'
    ),
}
NOTEBOOK = "window.jupyterapp.shell.currentWidget"
STATE = f"""(() => {{
  const panel = {NOTEBOOK};
  const kernel = panel?.sessionContext?.session?.kernel;
  const cells = panel?.content?.model?.sharedModel?.toJSON().cells || [];
  const code = cells.filter(c => c.cell_type === 'code' && c.source.length);
  const failed = code.filter(c => c.outputs.some(o => o.output_type === 'error'));
  return {{kernel: kernel?.status || '', code: code.length,
    done: code.filter(c => c.execution_count !== null).length,
    errors: failed.flatMap(c => c.outputs.filter(o => o.output_type === 'error')
      .map(o => o.ename + ': ' + o.evalue + '\\n' + o.traceback.slice(-4).join('\\n')))}};
}})()"""


class Lab:
    """A server over a folder; it ends with the `with` block."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self._token = folder, secrets.token_hex(16)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        for name, text in SETTINGS.items():
            path = home / "settings/@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        own = {f"JUPYTER_{what}_DIR": str(home / what) for what in ("CONFIG", "DATA", "RUNTIME")}
        own |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "IPYTHONDIR": str(home / "ip")}
        self._log = (home / "log").open("w+")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--allow-root",
                "--ServerApp.ip=127.0.0.1",
                f"--ServerApp.port={self._port}",
                "--ServerApp.port_retries=0",
                f"--IdentityProvider.token={self._token}",
                "--LabApp.expose_app_in_browser=True",
            ],
            cwd=folder,
            env={**os.environ, **own},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> "Lab":
        wait_for(self._answers, 120, "JupyterLab")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()  # the server ends its kernels
        self._process.wait(60)
        self._log.close()

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            self._log.seek(0)
            raise RuntimeError(f"JupyterLab ended: {self._log.read()[-2000:]}")
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"http://127.0.0.1:{self._port}/api", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def open(self, browser: Browser, notebook: str) -> None:
        """Open a notebook alone on the page and wait for its kernel."""
        browser.size(1500, 1000)
        browser.open(f"{self.address}/lab/tree/{notebook}?token={self._token}&reset")
        browser.wait(f"window.jupyterapp && {NOTEBOOK}?.sessionContext && true", 120)
        browser.run(
            "window.jupyterapp.commands.execute('application:set-mode', "
            "{mode: 'single-document'}).then(() => true)"
        )
        browser.wait(f"({STATE}).kernel === 'idle'", 120)

    def run_all(self, browser: Browser, seconds: float) -> dict:
        """Run all cells; how many there are, how many ran, and what failed."""
        browser.run("(window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs'), true)")
        browser.wait(f"({STATE}).done === 0")
        browser.run("(window.jupyterapp.commands.execute('notebook:run-all-cells'), true)")
        ended = f"(s => s.errors.length || (s.done === s.code && s.kernel === 'idle'))({STATE})"
        browser.wait(ended, seconds)
        return browser.run(STATE)


def theme(browser: Browser, name: str) -> None:
    """`Light` or `Dark`."""
    browser.run(
        "window.jupyterapp.commands.execute('apputils:change-theme', "
        f"{{theme: 'JupyterLab {name}'}}).then(() => true)"
    )
    light = "true" if name == "Light" else "false"
    browser.wait(f"document.body.dataset.jpThemeLight === '{light}'")


def whole_height(browser: Browser) -> int:
    """Height at which the whole notebook fits the window, for one picture of it from its top."""
    return browser.wait(f"""(() => {{
      const outer = {NOTEBOOK}.content.node.querySelector('.jp-WindowedPanel-outer');
      outer.scrollTop = 0;
      return outer.clientHeight > 500 && Math.ceil(outer.scrollHeight);
    }})()""")
