"""The dashboard as a person uses it: headless Chromium by its own driver, and axe-core to judge the markup."""

import os
import re
import shutil
import time
from base64 import b64decode
from contextlib import contextmanager
from pathlib import Path

from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

AXE = Path(__file__).with_name("node_modules") / "axe-core/axe.min.js"
PICTURES = os.environ.get("PICTURES")
"""A folder for pictures of each state; none are kept without it."""
SWITCHES = (
    "--headless=new",
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--hide-scrollbars",  # a picture of the whole page has none, and is narrower by one than what was laid out
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE = """
const width = document.documentElement.clientWidth;
const isWide = (one) => one.getBoundingClientRect().right > width + 1 && !one.closest(".scroll, .visually-hidden, .skip");
return document.documentElement.scrollWidth <= width ? [] : [...document.querySelectorAll("body *")].filter(isWide).map((one) => one.outerHTML.slice(0, 80))
"""
"""What reaches beyond the window."""
BROKEN = r"""
const found = [], range = document.createRange();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const text = walker.currentNode;
  const isOutOfSight = text.parentElement.closest("thead")?.getBoundingClientRect().width < 2;
  if (isOutOfSight || !text.parentElement.checkVisibility() || text.parentElement.closest("script, option, .visually-hidden, .skip")) continue;
  for (const word of text.data.matchAll(/(?<!\p{L})\p{L}{2,24}(?!\p{L})/gu)) {
    if (text.parentElement.closest(".uid") && /^[a-f]+$/.test(word[0])) continue;
    range.setStart(text, word.index);
    range.setEnd(text, word.index + word[0].length);
    const lines = new Set([...range.getClientRects()].map((one) => Math.round(one.bottom)));
    if (lines.size > 1) found.push(`${word[0]} in ${text.parentElement.outerHTML.slice(0, 80)}`);
  }
}
return found;
"""
"""Words on two lines. Numbers, UIDs and UUIDs may be, and words that are longer than a column need be."""
DESKTOP = (1280, 900)
NARROW = {"phone": 390, "tablet": 768}


@contextmanager
def chromium(profile):
    """The machine's Chromium with a profile of its own."""
    options = ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The open page. Elements are named by id, buttons by what a screen reader would say."""

    def __init__(self, driver):
        self.driver = driver
        self.log = []
        driver.set_window_size(*DESKTOP)
        self.prefer("light")

    @classmethod
    def in_a_new_tab(cls, driver):
        """Which has no key, no history, and nothing emulated; the tab before is closed."""
        before = driver.current_window_handle
        driver.switch_to.new_window("tab")
        opened = driver.current_window_handle
        driver.switch_to.window(before)
        driver.close()
        driver.switch_to.window(opened)
        driver.get_log("browser")
        return cls(driver)

    def open(self, url):
        self.driver.get(f"{url}/api/dashboard")

    def enter(self, key):
        self.awaited(lambda: self.by_id("key-form").is_displayed())
        self.by_id("key").send_keys(key, "\n")

    def by_id(self, name):
        return self.driver.find_element(By.ID, name)

    def text(self, name):
        """What is displayed."""
        return self.by_id(name).text

    def tile(self, name):
        """A number of `Now` and the note below it."""
        tile = self.driver.find_element(By.XPATH, f"//dl[@id='now']/div[dt[.='{name}']]")
        return tile.text.removeprefix(name).strip()

    def button(self, name, within="body"):
        """The first displayed button of this name."""
        found = self.driver.find_element(By.CSS_SELECTOR, within).find_elements(By.TAG_NAME, "button")
        return next(one for one in found if one.is_displayed() and one.accessible_name == name)

    def press(self, name, within="body"):
        """Waits until the button can be pressed."""

        def pressed():
            button = self.button(name, within)
            return button.is_enabled() and (button.click() or True)

        self.awaited(pressed)

    def choose_rows(self, table, study=""):
        """The rows of a table, and of a study there."""
        self.script("document.getElementById('rows').open = true")
        self.choose("errors-table", table)
        self.by_id("errors-study").clear()
        self.by_id("errors-study").send_keys(study, "\n")

    def choose(self, name, value):
        """An option of a select."""
        self.by_id(name).find_element(By.CSS_SELECTOR, f"option[value='{value}']").click()

    def rows(self, within):
        """The cells of the table's body, row by row."""
        rows = self.driver.find_elements(By.CSS_SELECTOR, f"{within} tbody tr")
        return [[cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")] for row in rows]

    def awaited(self, reached, seconds=30):
        """What `reached` gives once that is true; what is drawn anew meanwhile is asked again."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if found := reached():
                    return found
            except (NoSuchElementException, StaleElementReferenceException, StopIteration):
                found = None
            assert time.monotonic() < deadline, self.driver.find_element(By.TAG_NAME, "body").text
            time.sleep(0.1)

    def awaited_text(self, name, *words, seconds=30):
        return self.awaited(lambda: all(word in self.text(name) for word in words) and self.text(name), seconds)

    def type(self, *keys):
        """Into whatever has the focus."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def focused(self):
        return self.driver.switch_to.active_element

    def hide(self):
        """As when another tab is looked at."""
        self.driver.minimize_window()
        assert self.script("return document.hidden")

    def show(self):
        self.driver.set_window_size(*DESKTOP)

    def script(self, source, *arguments):
        return self.driver.execute_script(source, *arguments)

    def become_a_phone(self):
        """360 CSS pixels wide."""
        self.become(360, mobile=True)

    def become(self, width, *, mobile=False):
        """So many CSS pixels wide."""
        metrics = {"width": width, "height": 740, "deviceScaleFactor": 2 if mobile else 1, "mobile": mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme):
        """`light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def is_well_made(self, picture):
        """No violation of WCAG 2.2 A and AA in either scheme, nothing wider than the window. Keeps pictures."""
        self.script(AXE.read_text())
        for scheme in self.schemes(picture):
            only = {"runOnly": ["color-contrast"]} if scheme == "dark" else {}  # nothing else depends on the scheme
            found = self.driver.execute_async_script(
                "const [asked, tell] = arguments; axe.run(asked).then((found) => tell(found.violations))",
                {"resultTypes": ["violations"], **only},
            )
            said = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
            assert not said, f"{picture}, {scheme}: {said}"
        self.fits(picture)

    def schemes(self, picture):
        """Dark, then light, each with its picture."""
        for scheme in ("dark", "light"):
            self.prefer(scheme)
            self.picture(f"{picture}-{scheme}")
            yield scheme

    def fits(self, picture):
        """Nothing is wider than the window, no word breaks inside, and no value shows that the page does not have."""
        wide, broken = self.script(WIDE), self.script(BROKEN)
        assert not wide, f"{picture}: {wide}"
        assert not broken, f"{picture}: {broken}"
        missing = re.findall(r"\b(?:null|undefined|NaN)\b", self.script("return document.body.innerText"))
        assert not missing, f"{picture}: {missing}"

    def at_all_widths(self, picture, *, is_judged=True):
        """It fits a phone, a tablet, a desktop; in the widest, where all is seen, axe-core judges too.

        It takes seconds, and is spared pages that are made as another test's.
        """
        for name, width in NARROW.items():
            self.become(width, mobile=name == "phone")
            self.picture(f"{picture}-{name}")
            self.fits(f"{picture}-{name}")
        self.become(DESKTOP[0])
        if is_judged:
            self.is_well_made(picture)
        else:
            list(self.schemes(picture))
            self.fits(picture)
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def picture(self, name):
        """The whole page as PNG."""
        if PICTURES:
            shot = self.driver.execute_cdp_cmd(
                "Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"}
            )
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            (Path(PICTURES) / f"{name}.png").write_bytes(b64decode(shot["data"]))

    def complaints(self):
        """What the browser logged, but for answers that are no success: those the page tells itself."""
        self.log += self.driver.get_log("browser")
        return [one["message"] for one in self.log if one["source"] != "network"]
