"""Keeps processes running as an operator's service manager would: who ends with a code that asks for it is started again."""

import threading
import time

# UNREACHABLE at the start, FENCED: the README says to start again.
ASK_FOR_RESTART = {3: "UNREACHABLE", 6: "FENCED"}
LOOK_EVERY = 0.1
# Before a process that ended by itself is started again.
PAUSE = 1.0


class Slot:
    """The place of one process: whoever runs there now, and what the nemesis is doing to it."""

    def __init__(self, number):
        self.number, self.process, self.frozen, self.expected, self.starts = number, None, False, None, 0
        self.not_before = 0.0

    def __str__(self):
        return f"process {self.number}"


class Keeper:
    """`start(slot)` starts a process; `tell(text)` takes a line of history."""

    def __init__(self, count, start, tell):
        self.slots = [Slot(number) for number in range(count)]
        self.start, self.tell = start, tell
        self.lock, self.done, self.failure = threading.Lock(), threading.Event(), None
        for slot in self.slots:
            self._begin(slot)
        self.thread = threading.Thread(target=self._watch, name="keeper")
        self.thread.start()

    def close(self):
        """Nothing is started again from here on."""
        self.done.set()
        self.thread.join()

    def owner(self, seconds=20):
        """The slot whose process owns the pipeline, among those that answer; any that runs if nobody says so in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.done.is_set():
            for slot in self.slots:
                if not slot.frozen and slot.process.alive() and slot.process.role() == "owner":
                    return slot
            time.sleep(LOOK_EVERY)
        return next((slot for slot in self.slots if slot.process.alive() and not slot.frozen), None)

    def kill(self, slot):
        with self.lock:
            slot.expected = (-9,)
            slot.process.kill()

    def ask_to_stop(self, slot):
        with self.lock:
            slot.expected = (0,)
            slot.process.ask_to_stop()

    def _begin(self, slot):
        slot.expected, slot.not_before = None, 0.0
        slot.process = self.start(slot)
        slot.starts += 1

    def _watch(self):
        while not self.done.wait(LOOK_EVERY):
            for slot in self.slots:
                with self.lock:
                    if slot.not_before == 0.0 and not slot.process.alive():
                        self._ended(slot)
                    if 0.0 < slot.not_before <= time.monotonic():
                        self._begin(slot)

    def _ended(self, slot):
        code = slot.process.process.returncode
        if slot.expected and code in slot.expected:
            self.tell(f"{slot} ended with {code} as it was made to")
        elif code in ASK_FOR_RESTART:
            self.tell(f"{slot} ended with {code} {ASK_FOR_RESTART[code]}")
        else:
            self.failure = self.failure or f"{slot} ended with {code}, which nothing explains:\n{slot.process.tail()}"
            self.tell(f"{slot} ended with {code}: NOT EXPECTED")
        slot.not_before = time.monotonic() + (0.001 if slot.expected else PAUSE)
