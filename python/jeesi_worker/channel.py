"""The channel to the service. A write blocks until the service has read it, so nothing accumulates."""

import json
import os
import threading

OUT = 4
# Characters of text in a line. Even with each of them escaped, the line is shorter than the service's limit.
MAX_TEXT = 64 * 1024


class Channel:
    def __init__(self, interrupt):
        self._lock = threading.Lock()
        self._interrupt = interrupt

    def send(self, **message):
        """Sends a message as one line of ASCII, so that any text can be sent, even lone surrogates."""
        line = json.dumps(message).encode() + b'\n'
        # After an incomplete line, the service could not read any other.
        with self._interrupt.shielded(), self._lock:
            while line:
                line = line[os.write(OUT, line):]

    def send_text(self, run, text):
        """Sends a text in pieces of limited length."""
        for start in range(0, len(text), MAX_TEXT):
            self.send(type='text', id=run, text=text[start:start + MAX_TEXT])
