"""A headless browser that looks at the dashboard. It asks nothing but the given addresses."""

import shutil
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from program import wait_until

FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server", "--lang=en-US"]


@contextmanager
def browser(downloads, width=1400, height=1000):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in [*FLAGS, f"--window-size={width},{height}"]:
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Page(driver)
    finally:
        driver.quit()


class Page:
    def __init__(self, driver):
        self.driver = driver

    def open(self, address):
        self.driver.get(address)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map((node) => node.textContent)", selector)

    def text(self, selector):
        return next(iter(self.texts(selector)), "")

    def wait_for(self, selector, what=lambda text: text, seconds=15):
        """The text of an element, once there is one with such a text that can be seen."""
        def seen():
            shown = self.run(
                "return [...document.querySelectorAll(arguments[0])].filter((n) => n.checkVisibility()).map((n) => n.textContent)",
                selector)
            return next(((text,) for text in shown if what(text)), None)

        return wait_until(seen, seconds, lambda: f"{selector} on the page, which shows:\n{self.text('body')[:2000]}")[0]

    def choose(self, selector, value):
        """As a reader would: the value, and the page is told."""
        self.run(
            "const node = document.querySelector(arguments[0]); node.value = arguments[1];"
            "node.dispatchEvent(new Event('change', { bubbles: true }))", selector, value)

    def tiles(self):
        """{title: the exact value behind what is shown}"""
        return dict(self.run(
            "return [...document.querySelectorAll('.tile')].map((tile) =>"
            "[tile.querySelector('.label').textContent, tile.querySelector('.figure').dataset.value])"))

    def errors(self):
        """What the console holds that is no mere remark."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
