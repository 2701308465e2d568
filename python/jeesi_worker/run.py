"""One run of an entrypoint."""

import asyncio
import inspect
import threading

from . import Cancelled
from .entrypoint import call, load
from .values import to_text


class Run:
    def __init__(self, order, context, channel):
        self.number = order['id']
        self.context = context
        self._order = order
        self._channel = channel
        self._loop = None
        self._task = None
        self._timer = None

    def perform(self):
        """Runs the entrypoint in this thread and sends its output. Raises Cancelled and all that it raises."""
        if self.context.cancelled:
            raise Cancelled
        result = call(load(self._order['entrypoint']), self._order['input'], self.context)
        if inspect.isasyncgen(result):
            asyncio.run(self._perform_async(self._send_each_async(result)))
        elif inspect.isawaitable(result):
            asyncio.run(self._perform_async(self._send_awaited(result)))
        elif inspect.isgenerator(result):
            self._send_each(result)
        else:
            self._send(result)

    def cancel(self, seconds, interrupt):
        """Called from another thread. Sets the flag, cancels the asyncio task, if there is one, and interrupts what goes on for longer."""
        # Before the flag: a run that ends by it finds the timer, and ends that.
        self._timer = threading.Timer(seconds, interrupt.fire, [self])
        self._timer.daemon = True
        self._timer.start()
        self.context.cancelled.set()
        if self._task:
            try:
                self._loop.call_soon_threadsafe(self._task.cancel)
            except RuntimeError:
                # The loop has ended in the meantime.
                pass

    def end(self):
        """It is over, so that nothing is to interrupt it."""
        if self._timer:
            self._timer.cancel()
            self._timer.join()

    def _send(self, value):
        if value is None:
            return
        self._channel.send_text(self.number, to_text(value))

    def _send_each(self, generator):
        try:
            while True:
                if self.context.cancelled:
                    generator.close()
                    raise Cancelled
                self._send(next(generator))
        except StopIteration as end:
            self._send(end.value)

    async def _send_each_async(self, generator):
        async for value in generator:
            self._send(value)
            # Yields to the loop, so that a generator that awaits nothing can be cancelled.
            await asyncio.sleep(0)

    async def _send_awaited(self, awaitable):
        self._send(await awaitable)

    async def _perform_async(self, work):
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        if self.context.cancelled:
            self._task.cancel()
        await work
