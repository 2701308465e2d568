"""An agent that analyses a text file of a few megabytes and reports its statistics."""

import collections
import itertools
import os
import random
import re
import tempfile

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
SENTENCE_END = re.compile(r'[.!?…]+(?=\s|$)')
SAMPLE_BYTES = 4_000_000
STEPS = 20
FOLDER = os.path.dirname(os.path.realpath(__file__))


def run(input, context):
    """Reports progress while it counts. The prompt may name a text file in this module's folder; otherwise it generates a text."""
    path = next(filter(None, map(find_text, (input.get('prompt') or '').split())), None)
    with open_text(path) as file:
        size = os.fstat(file.fileno()).st_size
        yield f'{size / 1e6:.1f} MB of text{f" in {os.path.basename(path)}" if path else ", made up for this run"}.\n'
        words, sentences, lines = collections.Counter(), 0, 0
        read, reported = 0, 0
        for line in file:
            text = line.decode(errors='replace')
            words.update(word.lower() for word in WORD.findall(text))
            sentences += len(SENTENCE_END.findall(text))
            lines += 1
            read += len(line)
            if read * STEPS >= size * (reported + 1):
                reported = read * STEPS // size
                context.progress(read / size, f'{sum(words.values()):,} words so far')
                if context.cancelled:
                    return
    yield from report(words, sentences, lines)


def find_text(name):
    """The path of a text file in this module's folder. Who writes a prompt may not read other files, by a link neither."""
    if '\0' in name or not name.endswith('.txt'):
        return None
    path = os.path.realpath(os.path.join(FOLDER, name))
    return path if os.path.commonpath([FOLDER, path]) == FOLDER and os.path.isfile(path) else None


def open_text(path):
    if path:
        return open(path, 'rb')
    file = tempfile.TemporaryFile()
    write_sample(file)
    file.seek(0)
    return file


def write_sample(file):
    """Writes the same text every time. Its word frequencies fall with the rank, as in natural languages."""
    chance = random.Random(1)
    syllables = ['ba', 'do', 'fi', 'ga', 'ke', 'lo', 'mu', 'na', 'pe', 'ri', 'so', 'tu']
    vocabulary = [''.join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(2000)]
    frequencies = list(itertools.accumulate(1 / rank for rank in range(1, len(vocabulary) + 1)))
    sentences = [' '.join(chance.choices(vocabulary, cum_weights=frequencies, k=chance.randint(4, 16))) for _ in range(2000)]
    while file.tell() < SAMPLE_BYTES:
        file.write(''.join(f'{sentence.capitalize()}.\n' for sentence in sentences).encode())


def report(words, sentences, lines):
    total = sum(words.values())
    yield f'{total:,} words, {len(words):,} different ones, in {sentences:,} sentences on {lines:,} lines.\n'
    if total == 0:
        return
    yield f'A sentence has {total / max(1, sentences):.1f} words, and a word {sum(len(word) * count for word, count in words.items()) / total:.1f} letters, in the mean.\n'
    yield f'The longest word is "{max(words, key=len)}".\n'
    yield 'The most frequent words:\n'
    for word, count in words.most_common(10):
        yield f'  {word:<12} {count:>9,}  {count / total:.1%}\n'
