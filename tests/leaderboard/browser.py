"""Driving a page in headless Chromium without a driver: a script in the page acts and reports."""
from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

_NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
_FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
          '--disable-background-networking', '--disable-component-update', '--disable-sync',
          '--virtual-time-budget=5000')
_WATCH = """<script>
window.problems = [];
addEventListener('error', (event) => problems.push('error: ' + event.message), true);
addEventListener('unhandledrejection', (event) => problems.push('rejection: ' + event.reason));
addEventListener('securitypolicyviolation', (event) => problems.push('request: ' + event.blockedURI));
</script>"""
_REPORT = """<script>
{{
  let found, failure = null;
  try {{ found = (() => {{ {script} }})(); }} catch (error) {{ failure = String(error.stack || error); }}
  const holder = document.createElement('pre');
  holder.id = 'result-of-the-test';
  holder.textContent = JSON.stringify({{ found, failure, problems: window.problems,
    requests: performance.getEntriesByType('resource').map((one) => one.name) }});
  document.body.append(holder);
}}
</script>"""


def chromium() -> str:
    """The browser; the test is skipped without one."""
    found = next((path for path in map(shutil.which, _NAMES) if path), None)
    if found is None:
        pytest.skip('no Chromium here (Debian: apt-get install chromium)')
    return found


def act(page: Path, script: str) -> Any:
    """Open a page from its file, run a function body in it, and check that nothing went wrong.

    Args:
        page: The HTML file.
        script: JavaScript; what it returns is the answer.
    """
    browser = chromium()
    text = page.read_text(encoding='utf-8')
    assert text.count('<head>') == 1 and text.count('</body>') == 1
    text = text.replace('<head>', f'<head>{_WATCH}')
    text = text.replace('</body>', f'{_REPORT.format(script=script)}</body>')
    driven = page.with_name(f'driven-{page.name}')
    driven.write_text(text, encoding='utf-8')
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run([browser, *_FLAGS, f'--user-data-dir={profile}', '--dump-dom', driven.as_uri()],
                              capture_output=True, text=True, timeout=120)
    answer = re.search(r'<pre id="result-of-the-test">(.*?)</pre>', done.stdout, re.DOTALL)
    assert answer, f'Chromium gave no page: {done.stderr[-2000:]}'
    result = json.loads(html.unescape(answer[1]))
    assert result['failure'] is None, result['failure']
    assert result['problems'] == [] and result['requests'] == []
    return result.get('found')
