"""Sends what Python's package `openai` sends, by the standard library alone: the package itself could not be had here.

Requests, headers, repetitions and the reading of streams follow the package's source (src/openai/_base_client.py, _streaming.py and
resources/responses). Argument: JSON {url, key, call, args, options}. Prints one line of JSON: what came of it.
"""

import http.client
import json
import platform
import random
import sys
import time
import urllib.parse

VERSION = '2.8.0'
#: As the package has them.
MAX_RETRIES = 2
FIRST_PAUSE, LONGEST_PAUSE, LONGEST_RETRY_AFTER = 0.5, 8.0, 60


class APIStatusError(Exception):
    """An answer that is none; the package's classes by their statuses."""

    NAMES = {400: 'BadRequestError', 401: 'AuthenticationError', 403: 'PermissionDeniedError', 404: 'NotFoundError',
             409: 'ConflictError', 422: 'UnprocessableEntityError', 429: 'RateLimitError'}

    def __init__(self, status, headers, body):
        super().__init__(f'Error code: {status} - {body}')
        self.status, self.headers, self.body = status, headers, body if isinstance(body, dict) else {}
        self.name = self.NAMES.get(status, 'InternalServerError' if status >= 500 else 'APIStatusError')


class APIError(Exception):
    """An error within a stream."""

    def __init__(self, body):
        super().__init__(body.get('message') or 'An error occurred during streaming')
        self.name, self.status, self.headers, self.body = 'APIError', None, {}, body


class Client:
    def __init__(self, url, key, max_retries=MAX_RETRIES, timeout=600):
        self.base, self.key, self.max_retries, self.timeout = urllib.parse.urlsplit(url), key, max_retries, timeout

    def headers(self, method, retries, **more):
        headers = {
            'Host': self.base.netloc,
            'Accept': 'application/json',
            'Accept-Encoding': 'gzip, deflate',
            'Connection': 'keep-alive',
            'Content-Type': 'application/json',
            'User-Agent': f'OpenAI/Python {VERSION}',
            'X-Stainless-Lang': 'python',
            'X-Stainless-Package-Version': VERSION,
            'X-Stainless-OS': 'Linux',
            'X-Stainless-Arch': 'x64',
            'X-Stainless-Runtime': platform.python_implementation(),
            'X-Stainless-Runtime-Version': platform.python_version(),
            'Authorization': f'Bearer {self.key}',
            'X-Stainless-Async': 'false',
            'x-stainless-retry-count': str(retries),
            'x-stainless-read-timeout': str(float(self.timeout)),
            **more,
        }
        if method == 'GET':
            del headers['Content-Type']
        return headers

    def send(self, method, path, retries, body, query, more):
        """One request. Nothing but these headers is sent, and a POST without a body says that it has none."""
        connection = http.client.HTTPConnection(self.base.hostname, self.base.port, timeout=self.timeout)
        address = f'/v1{path}' + (f'?{urllib.parse.urlencode(query)}' if query else '')
        connection.putrequest(method, address, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers(method, retries, **more).items():
            connection.putheader(name, value)
        # The package writes JSON without blanks, and in UTF-8.
        content = None if body is None else json.dumps(body, ensure_ascii=False, separators=(',', ':')).encode()
        if content is not None or method != 'GET':
            connection.putheader('Content-Length', str(len(content or b'')))
        connection.endheaders(content)
        return connection.getresponse()

    def request(self, method, path, body=None, query=None, stream=False, **more):
        for retries in range(self.max_retries + 1):
            is_last = retries == self.max_retries
            try:
                response = self.send(method, path, retries, body, query, more)
            except (OSError, http.client.HTTPException):
                if is_last:
                    raise
                self.pause(retries, {})
                continue
            if response.status < 400:
                return Stream(response) if stream else read(response)
            error = APIStatusError(response.status, response.headers, unwrap(read(response)))
            if is_last or not should_retry(error):
                raise error
            self.pause(retries, error.headers)
        raise AssertionError('the last try returns or raises')

    def pause(self, retries, headers):
        after = retry_after(headers)
        seconds = after if 0 < after <= LONGEST_RETRY_AFTER else min(FIRST_PAUSE * 2 ** retries, LONGEST_PAUSE) * (1 - 0.25 * random.random())
        time.sleep(seconds)


def retry_after(headers):
    for name, divisor in (('retry-after-ms', 1000), ('retry-after', 1)):
        if headers.get(name):
            return float(headers[name]) / divisor
    return 0


def should_retry(error):
    said = error.headers.get('x-should-retry')
    return said == 'true' or (said != 'false' and (error.status in (408, 409, 429) or error.status >= 500))


def read(response):
    text = response.read().decode()
    return json.loads(text) if text and 'json' in response.headers.get('content-type', '') else text or None


def unwrap(body):
    """What stands in `error`, which is what the package keeps of the body of an error."""
    return body.get('error', body) if isinstance(body, dict) else body


class Stream:
    """Server-sent events as the package takes them, with its traps: an id of an event counts for all that follow, so that a comment after
    one is an event without data; and of an error the field `error` alone is an exception."""

    def __init__(self, response):
        self.response = response

    def __iter__(self):
        try:
            for event, text in self.events():
                if text.startswith('[DONE]'):
                    return
                told = json.loads(text)
                if isinstance(told, dict) and told.get('error'):
                    raise APIError(told['error'])
                yield told
        finally:
            self.response.close()

    def events(self):
        fields, data, last_id = {}, [], None
        for line in self.lines():
            name, _, value = line.partition(':')
            value = value.removeprefix(' ')
            if line == '':
                if fields or data or last_id:
                    yield fields.get('event'), '\n'.join(data)
                fields, data = {}, []
            elif name == 'data':
                data.append(value)
            elif name == 'id':
                last_id = value
            elif name in ('event', 'retry'):
                fields[name] = value

    def lines(self):
        """Raises IncompleteRead where the connection breaks, as httpx raises RemoteProtocolError."""
        rest = b''
        while piece := self.response.read1(65536):
            *lines, rest = (rest + piece).split(b'\n')
            for line in lines:
                yield line.decode().removesuffix('\r')


def stream_until(client, method, path, kind=None, **options):
    """All events; or those until one of a kind, where the reader leaves."""
    events = []
    for event in client.request(method, path, stream=True, **options):
        events.append(event)
        if kind is not None and event.get('type') == kind:
            break
    return events


CALLS = {
    'chat': lambda client, args: client.request('POST', '/chat/completions', body=args),
    'chatStream': lambda client, args: stream_until(client, 'POST', '/chat/completions', body={**args, 'stream': True}),
    'create': lambda client, args: client.request('POST', '/responses', body=args),
    'stream': lambda client, args: stream_until(client, 'POST', '/responses', body={**args, 'stream': True}),
    'leave': lambda client, args: stream_until(client, 'POST', '/responses', body={**args, 'stream': True}, kind='response.output_text.delta'),
    'retrieve': lambda client, args: client.request('GET', f"/responses/{args['id']}", query=args.get('query')),
    'retrieveStream': lambda client, args: stream_until(client, 'GET', f"/responses/{args['id']}", query={**args.get('query', {}), 'stream': 'true'}),
    'cancel': lambda client, args: client.request('POST', f"/responses/{args['id']}/cancel"),
    'delete': lambda client, args: client.request('DELETE', f"/responses/{args['id']}", Accept='*/*'),
    'inputItems': lambda client, args: client.request('GET', f"/responses/{args['id']}/input_items", query=args.get('query')),
    'models': lambda client, args: client.request('GET', '/models'),
}


def main():
    order = json.loads(sys.argv[1])
    client = Client(order['url'], order['key'], **order.get('options', {}))
    try:
        outcome = {'result': CALLS[order['call']](client, order['args'])}
    except (APIStatusError, APIError) as error:
        body = error.body
        outcome = {'error': {
            'class': error.name, 'status': error.status, 'code': body.get('code'), 'type': body.get('type'), 'param': body.get('param'),
            'message': body.get('message'), 'requestId': error.headers.get('x-request-id'), 'shouldRetry': error.headers.get('x-should-retry'),
        }}
    except (OSError, http.client.HTTPException) as error:
        outcome = {'error': {'class': 'APIConnectionError', 'message': str(error)}}
    print(json.dumps(outcome))


main()
