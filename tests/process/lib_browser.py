"""Drives a headless Chromium by its DevTools protocol, over a pipe: no port, nothing to install but the browser.

PAGE    Page.js(expression) runs it in the page and answers its value; a promise is awaited. Page.until(expression) asks until it
        is true; the caller's own time limit (ctest) ends what never is.
SAID    What the page says on the console, exceptions, and requests to another host are kept in page.said and page.hosts.
"""
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.parse


def find():
    """The browser's program, or None."""
    return next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)


class Browser:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="apiary-browser-")
        to_read, self.to = os.pipe()
        self.of, to_write = os.pipe()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
                   "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-sync",
                   "--force-color-profile=srgb", "--remote-debugging-pipe", "--user-data-dir=" + self.folder, "about:blank"]
        command = 'exec "$0" "$@" 3<&%d 4>&%d' % (to_read, to_write)
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen(["bash", "-c", command, find()] + options, pass_fds=(to_read, to_write),
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        os.close(to_read)
        os.close(to_write)
        self.rest, self.number, self.pages = b"", 0, {}

    def read(self):
        while b"\0" not in self.rest:
            more = os.read(self.of, 1 << 20)
            if not more:
                raise RuntimeError("the browser has ended: " + open(self.log.name, errors="replace").read()[-2000:])
            self.rest += more
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, session=None, **parameters):
        self.number += 1
        number = self.number
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError("%s: %s" % (method, answer["error"]))
                return answer["result"]
            if "method" in answer and answer.get("sessionId") in self.pages:
                self.pages[answer["sessionId"]].event(answer["method"], answer["params"])

    def page(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable", session)
        return self.pages[session]

    def close(self):
        try:
            self.call("Browser.close")
        except (RuntimeError, OSError):
            pass
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Page:
    def __init__(self, browser, session):
        self.browser, self.session, self.said, self.hosts = browser, session, [], set()

    def event(self, method, p):
        if method == "Runtime.consoleAPICalled":
            self.said.append("%s: %s" % (p["type"], " ".join(str(a.get("value", a.get("description"))) for a in p["args"])))
        elif method == "Runtime.exceptionThrown":
            d = p["exceptionDetails"]
            self.said.append("exception: %s" % d.get("exception", {}).get("description", d["text"]))
        elif method == "Log.entryAdded":
            self.said.append("%s: %s %s" % (p["entry"]["level"], p["entry"]["text"], p["entry"].get("url", "")))
        elif method == "Network.requestWillBeSent":
            url = urllib.parse.urlsplit(p["request"]["url"])
            if url.netloc:
                self.hosts.add(url.netloc)

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def scheme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def js(self, expression):
        r = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in r:
            d = r["exceptionDetails"]
            raise RuntimeError(d.get("exception", {}).get("description", d["text"]))
        return r["result"].get("value")

    def until(self, expression):
        began = time.monotonic()
        while not self.js("Boolean(%s)" % expression):
            if time.monotonic() - began > 60:
                print("for a minute now: " + expression, self.said[-3:], flush=True)
                began = time.monotonic()
            self.js("new Promise((done) => setTimeout(done, 50))")

    def key(self, name, code=None, text=None):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=code or name,
                      windowsVirtualKeyCode={"Tab": 9, "Enter": 13, "ArrowDown": 40, "ArrowUp": 38, "End": 35, "Home": 36, "Escape": 27}.get(name, 0),
                      **({"text": text} if text and kind == "keyDown" else {}))

    def shot(self, path, whole=False):
        image = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(image))
