"""The lines to the service. Whoever writes waits until the service has taken it: nothing piles up here."""

import json
import os
import threading

OUT = 4
# Characters a line: with every one of them escaped it is still shorter than what the service takes.
MAX_TEXT = 64 * 1024


class Channel:
    def __init__(self, interrupt):
        self._lock = threading.Lock()
        self._interrupt = interrupt

    def send(self, **message):
        """Sends a message as one line. ASCII, so that any text whatever gets through, halves of pairs included."""
        line = json.dumps(message).encode() + b'\n'
        # A line that is broken off in the middle would be the last that the service reads.
        with self._interrupt.shielded(), self._lock:
            while line:
                line = line[os.write(OUT, line):]

    def send_text(self, run, text):
        for start in range(0, len(text), MAX_TEXT):
            self.send(type='text', id=run, text=text[start:start + MAX_TEXT])
