"""One run: an entrypoint from its call to its last word."""

import asyncio
import inspect
import json

from . import Cancelled
from .entrypoint import call, load


class Run:
    def __init__(self, order, context, channel):
        self.number = order['id']
        self.context = context
        self._order = order
        self._channel = channel
        self._loop = None
        self._task = None

    def perform(self):
        """Runs it in this thread and sends what it says."""
        if self.context.cancelled:
            raise Cancelled
        outcome = call(load(self._order['entrypoint']), self._order['input'], self.context)
        if inspect.isasyncgen(outcome):
            asyncio.run(self._perform_async(self._say_each_async(outcome)))
        elif inspect.isawaitable(outcome):
            asyncio.run(self._perform_async(self._say_awaited(outcome)))
        elif inspect.isgenerator(outcome):
            self._say_each(outcome)
        else:
            self._say(outcome)

    def cancel(self):
        """From another thread: the flag for those who look at it, and asyncio's own way for those who await."""
        self.context.cancelled.set()
        if self._task:
            try:
                self._loop.call_soon_threadsafe(self._task.cancel)
            except RuntimeError:
                # The loop has ended meanwhile.
                pass

    def _say(self, value):
        if value is None:
            return
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
        self._channel.send_text(self.number, text)

    def _say_each(self, generator):
        try:
            while True:
                if self.context.cancelled:
                    generator.close()
                    raise Cancelled
                self._say(next(generator))
        except StopIteration as end:
            self._say(end.value)

    async def _say_each_async(self, generator):
        async for value in generator:
            self._say(value)
            # A generator that awaits nothing would never hear that it is cancelled.
            await asyncio.sleep(0)

    async def _say_awaited(self, awaitable):
        self._say(await awaitable)

    async def _perform_async(self, work):
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        if self.context.cancelled:
            self._task.cancel()
        await work
